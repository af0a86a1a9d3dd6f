import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

describe('atfork/child-process', () => {
  it.each(['spawn', 'exec', 'fork', 'forked', 'worker', 'leavesNothing'])('%s', async (name) => {
    expect(await fixturePasses('child-process.cjs', { args: [name] })).toBe('done\n');
  });
});

it('synchronous functions do what those of Node do', async () => {
  expect(await fixturePasses('child-process-sync.cjs')).toBe('done\n');
});

it('nothing is started where the permission model forbids it', async () => {
  expect(await fixturePasses('exec-permission.cjs')).toBe('done\n');
});

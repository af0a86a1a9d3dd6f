import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

describe('atfork/child-process', () => {
  it.each(['spawn', 'exec', 'fork', 'forked', 'worker', 'leavesNothing'])('%s', async (name) => {
    expect(await fixturePasses('child-process.cjs', { args: [name] })).toBe('done\n');
  });
});

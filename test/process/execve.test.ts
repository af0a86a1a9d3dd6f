import { expect, test } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

test('the new program has the pid, the arguments and the environment, and starts clean', async () => {
  const output = await fixturePasses('exec-in-place.cjs');
  const [before, ...after] = output.trimEnd().split('\n');
  expect(before).toMatch(/^pid \d+$/);
  expect(after).toEqual([
    before,
    'args [zero] [a b] [] [ü]',
    'env ONLY=this=that|',
    'Threads: 1',
    'SigBlk: 0000000000000000',
    'SigIgn: 0000000000000000',
  ]);
});

test('arguments and environment have defaults', async () => {
  expect((await fixturePasses('exec-defaults.cjs')).split('\n')).toContain('FROM_BEFORE=kept');
});

test('a failure throws and leaves the process as it was', async () => {
  expect(await fixturePasses('exec-failures.cjs')).toBe('done\n');
});

/**
 * What cannot be guaranteed is refused, before anything has been forked. Elsewhere: a platform without an addon
 * (test/binding.test.ts).
 */
import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

describe('fork() refuses', () => {
  it.each([
    ['in a Worker', 'worker'],
    ['while a fork is under way', 'reentrant'],
    ["in an 'exit' listener", 'teardown'],
    ['options that are none', 'options'],
    ['options that are none, in a Worker', 'optionsInWorker'],
    ['where the stack ends', 'stackOverflow'],
    ["where the stack ends, at the process's first fork", 'stackOverflowAtFirst'],
    ['where process.pid cannot be changed', 'fixedPid'],
    ['while a Worker keeps the lock', 'lock'],
    ['while a Worker is in a system call', 'workerStays'],
    ['while a Worker is in spawnSync', 'workerSpawnSyncStays'],
    ["while the pool is in a system call, at the process's first fork", 'poolStaysAtFirst'],
    ['while the pool is in a system call', 'poolStays'],
    ['while the pool is in a system call, beside a Worker', 'poolStaysBesideWorker'],
    ['in a second copy of the package', 'secondCopy'],
  ])('%s', async (_, name) => {
    expect(await fixturePasses('fork-refusals.cjs', { args: [name] })).toBe('done\n');
  });
});

it('tries once where there is no time', async () => {
  expect(await fixturePasses('fork-refusals.cjs', { args: ['noTimeout'] })).toBe('done\n');
});

it('gives up when a handler of another library wants what a Worker holds that stands still', async () => {
  expect(await fixturePasses('fork-contended.cjs', { timeout: 90_000 })).toBe('done\n');
});

describe.skipIf(process.getuid?.() !== 0)('EAGAIN (as root only: RLIMIT_NPROC takes another user)', () => {
  it.each(['cold', 'warm', 'everyLimit', 'everyLimitCold'])('%s', async (name) => {
    expect(await fixturePasses('fork-limits.cjs', { args: [name] })).toBe('done\n');
  });
});

it('EMFILE', async () => {
  expect(await fixturePasses('fork-limits.cjs', { args: ['descriptors'] })).toBe('done\n');
});

it('ENOMEM', async (context) => {
  const output = await fixturePasses('fork-limits.cjs', { args: ['memory'], execArgv: ['--expose-gc'] });
  if (output !== 'done\n') context.skip(output);
});

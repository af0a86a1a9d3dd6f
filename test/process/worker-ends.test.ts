/** Workers of the parent end in the child, whatever they were in the middle of, and take nobody along. */
import { spawnSync } from 'node:child_process';

import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

const fixture = 'fork-worker-ends.cjs';
const options = { timeout: 60_000 };

describe('a Worker that was in the middle of', () => {
  it.each(['spawns', 'failsToSpawn', 'spawnsSync', 'cpus', 'signals'])('%s', async (name) => {
    expect(await fixturePasses(fixture, { ...options, args: [name] })).toBe('done\n');
  });
});

describe('Workers of Workers', () => {
  it.each(['nestedWasm', 'nestedContexts'])('%s', async (name) => {
    expect(await fixturePasses(fixture, { ...options, args: [name] })).toBe('done\n');
  });

  it.skipIf(process.getuid?.() !== 0)('nestedAfterSetuid', async () => {
    expect(await fixturePasses(fixture, { ...options, args: ['nestedAfterSetuid'] })).toBe('done\n');
  });
});

describe('methods that the program has replaced', () => {
  it.each(['ownTerminate', 'failingMethods'])('%s', async (name) => {
    expect(await fixturePasses(fixture, { ...options, args: [name] })).toBe('done\n');
  });
});

describe('descriptors', () => {
  it.each(['newLoops', 'reusedNumbers', 'kernelFiles', 'scattered'])('%s', async (name) => {
    expect(await fixturePasses(fixture, { ...options, args: [name] })).toBe('done\n');
  });

  const ownMounts = spawnSync('unshare', ['--mount', 'true']).status === 0;
  it.skipIf(!ownMounts)('hiddenRegistrations', async () => {
    const node = process.env.ATFORK_TEST_NODE ?? process.execPath;
    const inNamespace = { ...options, node: 'unshare', execArgv: ['--mount', node], args: ['hiddenRegistrations'] };
    expect(await fixturePasses(fixture, inNamespace)).toBe('done\n');
  });
});

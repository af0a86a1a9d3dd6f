import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

async function passes(testCase: string, ...execArgv: string[]): Promise<void> {
  expect(await fixturePasses('shared-lock.cjs', { args: [testCase], execArgv })).toMatch(/(^|\n)done\n$/);
}

describe('SharedLock', () => {
  it('is a lock like the others, and says no to every misuse', () => passes('api'));
  it('goes when nobody can use it any more', () => passes('collected', '--expose-gc'));
  it('is waited for by event loops', () => passes('async'));
  it('is shared by threads, and orphaned by their end', () => passes('threads'));
});

describe('between processes', () => {
  it('is opened by its descriptor and by its name', () => passes('unrelated'));
  it('wakes event loops', () => passes('asyncBetweenProcesses'));
  it('is orphaned by whatever ends its owner', () => passes('ownerDied'));
  it('is not recoverable when nobody repairs it', () => passes('notRecoverable'));
  it('is not mixed up with that of another pid namespace', () => passes('namespaces'));
});

describe('when its holders are killed', () => {
  it('loses no more than what each had in hand', async () => {
    expect(await fixturePasses('../suite/shared-lock.cjs', { args: ['150'], timeout: 60_000 })).toMatch(/\ndone\n$/);
  });
});

describe('when fork() is called', () => {
  it('stays with the parent', () => passes('fork'));
  it('is not waited for by what the child inherits', () => passes('forkWhileWaiting'));
  it('is not touched by Workers that come along', () => passes('forkBesideWorkers'));
});

describe('names', () => {
  it('are one object each, until they are unlinked', () => passes('names'));
  it('of what this library has not made are refused', () => passes('refused'));
  it('go with the last process that uses them', () => passes('tracker'));
});

describe('sharedMemory()', () => {
  const holds = async (testCase: string): Promise<void> => {
    expect(await fixturePasses('shared-memory.cjs', { args: [testCase], execArgv: ['--expose-gc'] })).toMatch(
      /(^|\n)done\n$/,
    );
  };
  it('is shared with children, and theirs', () => holds('shared'));
  it('is waited on across processes', () => holds('futex'));
  it('says no to misuse', () => holds('misuse'));
  it('may be there beside Workers, but not be theirs', () => holds('besideWorkers'));
});

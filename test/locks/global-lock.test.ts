import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

/** Runs a fixture that prints `done` at its end; a child that it forked may have done so before. */
async function passes(fixture: string, ...args: string[]): Promise<void> {
  expect(await fixturePasses(fixture, { args })).toMatch(/(^|\n)done\n$/);
}

describe('on one thread', () => {
  it('is recursive, and says no to every misuse', () => passes('lock-api.cjs'));
});

describe('between threads', () => {
  it('excludes, times out and wakes', () => passes('lock-workers.cjs'));
  it('is there when the Worker has ended that alone had loaded it', () => passes('lock-loaded-by-worker.cjs'));
  it('is shared by two copies of the addon', () => passes('lock-two-copies.cjs', 'same'));
  it('refuses a second copy of another version', () => passes('lock-two-copies.cjs', 'other'));
});

describe('when a Worker ends', () => {
  it('terminated while it holds the lock: orphaned', () => passes('lock-owner-died.cjs', 'terminated'));
  it('by itself while it holds the lock: orphaned', () => passes('lock-owner-died.cjs', 'exited'));
  it('and nobody repairs: not recoverable', () => passes('lock-owner-died.cjs', 'notRecoverable'));
  it('terminated while it waits: it does end', () => passes('lock-owner-died.cjs', 'terminatedWhileWaiting'));
  it('with the process, while it waits: that does end', () => passes('lock-owner-died.cjs', 'exitWhileOthersWait'));
});

describe('when a library forks', () => {
  it('child_process.spawn goes on while a Worker holds the lock', () => passes('lock-spawn.cjs'));
});

describe('when fork() is called', () => {
  it('held by a Worker: waits, and is free in the child', () => passes('lock-fork.cjs', 'heldByWorker'));
  it('held by a Worker for too long: no child', () => passes('lock-fork.cjs', 'timeout'));
  it('held by the forking thread: as deep on both sides', () => passes('lock-fork.cjs', 'heldByForker'));
  it('waited for by Workers: none of them gets it in the child', () => passes('lock-fork.cjs', 'waiters'));
  it('orphaned: stays so on both sides', () => passes('lock-fork.cjs', 'orphaned'));
  it('ten generations, each one deeper', () => passes('lock-fork.cjs', 'generations'));
});

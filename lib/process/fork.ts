import { type NativeBinding, nativeBinding } from '../binding';
import { DeadlockError, ForkError, fromNative } from '../errors';
import { finishReadingCertificates } from '../internal/certificates';
import { errno } from '../internal/errno';
import { canFindInstances } from '../internal/heap-instances';
import { mayHaveDatabases } from '../internal/inherited-databases';
import { prepareRandomness } from '../internal/randomness';
import { disownTransferred } from '../internal/shared-memories';
import { reserveStack } from '../internal/stack';
import { type AtForkSide, runBeforeHooks } from './at-fork';
import { type ForkOptions, type ForkRequest, forkRequest } from './fork-options';
import { forkRefusal, refusal } from './fork-support';
import { beginChild } from './forked-child';
import { all } from './inherit';
import { multiThreaded, warnOfLostThreads } from './multi-threaded';

let binding: NativeBinding | undefined;
let forking = false;

/**
 * fork(2): the child goes on from this call, on a copy of this process's memory, as a complete Node process.
 *
 * @returns 0 in the child, the child's pid in the parent.
 * @throws ForkError when there is no child: its `code` says why, and every lock is as before.
 * @throws DeadlockError EDEADLK: so is it when another thread holds a lock, and waits for one that this thread holds.
 * @throws TypeError, RangeError for bad options.
 */
export function fork(options?: ForkOptions): number {
  const request = forkRequest(options);
  // A child would throw in the midst of what it does before its fork() returns, and a catch block would run in both processes.
  reserveStack(64);
  const refused = forkRefusal();
  if (refused !== null) throw refused;
  binding ??= nativeBinding();
  const native = binding;
  const refusedNow = refusalNow(native);
  if (refusedNow !== null) throw refusedNow;
  requireInspector(request);
  forking = true;
  try {
    finishReadingCertificates();
    prepareRandomness(native);
    rehearse(native, request);
    const runAfterHooks = runBeforeHooks(request.beforeErrors, request.onHookError);
    if (runAfterHooks !== null) prepareAgain(native, runAfterHooks);
    return carryOut(native, request, runAfterHooks, false);
  } finally {
    forking = false;
  }
}

/** For what only the inspector finds in a child. */
function requireInspector({ inherited }: ForkRequest): void {
  const sought = !inherited.timers ? 'timers' : mayHaveDatabases() ? 'connections of node:sqlite' : undefined;
  if (sought === undefined || canFindInstances()) return;
  throw refusal('ERR_ATFORK_UNSUPPORTED', `without an inspector (--allow-inspector) a child cannot find ${sought}`);
}

/** A hook may have been the first in this process to ask for a random value. */
function prepareAgain(native: NativeBinding, runAfterHooks: (side: AtForkSide) => void): void {
  try {
    prepareRandomness(native);
  } catch (error) {
    runAfterHooks('parent');
    throw error;
  }
}

/** The fork itself, and in both processes what comes after it. A rehearsal goes the child's way, and nothing is forked. */
function carryOut(
  native: NativeBinding,
  request: ForkRequest,
  runAfterHooks: ((side: AtForkSide) => void) | null,
  isRehearsal: boolean,
): number {
  const { lockTimeout, quiesceTimeout, copySharedMappings, pendingWork, lostThreads, inherited } = request;
  disownTransferred(native);
  const forked = isRehearsal
    ? 0
    : native.fork(lockTimeout, quiesceTimeout, copySharedMappings, pendingWork, lostThreads.bits, lostThreads.allowed);
  if (forked === 0) {
    beginChild(native, inherited, isRehearsal);
    runAfterHooks?.('child');
    return 0;
  }
  runAfterHooks?.('parent');
  if (typeof forked !== 'number') {
    if (forked.code === 'ERR_ATFORK_MULTITHREADED') throw multiThreaded(native);
    throw fromNative(forked.errnum === errno.EDEADLK ? DeadlockError : ForkError, forked);
  }
  if (forked > 0) return forked;
  warnOfLostThreads(native, fork);
  return -forked;
}

/** So many that V8 compiles what is called, and notes of what kinds its objects are. */
const firstRehearsals = 30;
/** Milliseconds for which one lasts: V8 drops what has not been called for some collections, and there are new handles. */
const rehearsalLasts = 1000;
let rehearsedAt: number | undefined;
const { now: milliseconds } = Date;

/** Parent, before the fork: goes the way of a child, where whatever is done for the first time would take its time. */
function rehearse(native: NativeBinding, request: ForkRequest): void {
  const now = milliseconds();
  if (rehearsedAt !== undefined && Math.abs(now - rehearsedAt) < rehearsalLasts) return;
  const times = rehearsedAt === undefined ? firstRehearsals : 1;
  for (let i = 0; i < times; ++i) carryOut(native, { ...request, inherited: all }, null, true);
  rehearsedAt = now;
}

/** Why there can be no fork at this moment; null where there can. */
function refusalNow(native: NativeBinding): ForkError | null {
  if (forking) return refusal('ERR_ATFORK_REENTRANT');
  // From the moment that 'exit' is emitted: as in CPython, what is being taken down is not forked.
  if ((process as { _exiting?: boolean })._exiting === true) return refusal('ERR_ATFORK_TEARDOWN');
  const prevented = native.checkForkPermit();
  return prevented === null ? null : fromNative(ForkError, prevented);
}

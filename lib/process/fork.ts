import type { ChildProcess } from 'node:child_process';

import { nativeBinding } from '../binding';
import { ForkError, fromNative } from '../errors';
import { type HookErrorHandler, runBeforeHooks } from './at-fork';
import { forkRefusal, refusal } from './fork-support';
import { finishReadingCertificates } from '../internal/certificates';
import type { NativeFork } from '../internal/native-fork';
import type { NativeProcess } from '../internal/native-process';
import { unwrap } from '../internal/native-result';
import { validateFunction, validateObject, validateOneOf, validateTimeout } from '../internal/validate';
import { endWorkers } from '../internal/workers';

export interface ForkOptions {
  /** Milliseconds to wait for the holder of `globalLock`; Infinity must be asked for. Default 10,000. */
  lockTimeout?: number;
  /** Milliseconds to wait until every other thread stands where a fork can be survived. Default 1,000. */
  quiesceTimeout?: number;
  /**
   * Memory that is mapped MAP_SHARED and writable (a database in WAL mode, POSIX shared memory), while Workers run. They
   * come along in the child to be ended, and one that was about to write there would do so, in the parent's memory. So
   * fork() refuses with ERR_ATFORK_SHARED_MAPPING, or with 'copy' gives the child private copies. Default 'refuse'.
   */
  sharedMappings?: 'refuse' | 'copy';
  /**
   * What an error of a `before` hook does: 'refuse' the fork, or have it 'continue', and the error go to `onHookError` in
   * the parent. Default 'refuse'.
   */
  beforeErrors?: 'refuse' | 'continue';
  /**
   * Gets what hooks throw that have no `onHookError` of their own. fork() never throws it, since then the pid would be
   * lost, and a catch block would run in both processes. Default: it is thrown on the next tick of the process that
   * `side` names, 'uncaughtException' there.
   */
  onHookError?: HookErrorHandler;
}

/**
 * fork(2): the child goes on from this call, on a copy of this process's memory, as a complete Node process.
 *
 * @returns 0 in the child, the child's pid in the parent.
 * @throws ForkError when there is no child: its `code` says why, and every lock is as before.
 * @throws TypeError, RangeError for bad options.
 */
export function fork(options: ForkOptions = {}): number {
  validateObject(options, 'options');
  const { lockTimeout = 10_000, quiesceTimeout = 1_000, sharedMappings = 'refuse' } = options;
  const { beforeErrors = 'refuse', onHookError } = options;
  validateTimeout(lockTimeout, 'options.lockTimeout');
  validateTimeout(quiesceTimeout, 'options.quiesceTimeout');
  validateOneOf(sharedMappings, 'options.sharedMappings', ['refuse', 'copy']);
  validateOneOf(beforeErrors, 'options.beforeErrors', ['refuse', 'continue']);
  if (onHookError !== undefined) validateFunction(onHookError, 'options.onHookError');
  if (forkRefusal !== null) throw forkRefusal;
  if (forking) throw refusal('ERR_ATFORK_REENTRANT');
  if (isExiting()) throw refusal('ERR_ATFORK_TEARDOWN');
  const native = nativeBinding();
  const prevented = native.checkForkPermit();
  if (prevented !== null) throw fromNative(ForkError, prevented);

  forking = true;
  try {
    finishReadingCertificates();
    rehearseChild(native);
    const runAfterHooks = runBeforeHooks(beforeErrors, onHookError);
    const forked = native.fork(lockTimeout, quiesceTimeout, sharedMappings === 'copy');
    if (forked === 0) enterChild(native, unref);
    runAfterHooks(forked === 0 ? 'child' : 'parent');
    return unwrap(ForkError, forked);
  } finally {
    forking = false;
  }
}

let forking = false;

/** From the moment that 'exit' is emitted: as in CPython, what is being taken down is not forked. */
function isExiting(): boolean {
  return (process as unknown as { _exiting?: boolean })._exiting === true;
}

/** What is left to be done in JavaScript before the child's own code goes on. `forget` is for each program of the parent's. */
function enterChild(native: NativeFork & NativeProcess, forget: (program: ChildProcess) => void): void {
  const workers = native.hasWorkersToEnd();
  try {
    const value = native.getpid();
    Object.defineProperty(process, 'pid', { value, writable: false, enumerable: true, configurable: true });
    // They are held until they have been told: none runs a line of its own code here.
    if (workers) endWorkers(native);
    activeHandles().filter(isChildProcess).forEach(forget);
  } finally {
    if (workers) native.releaseWorkers();
  }
}

/** Whether they have ended, only their parent hears: a child that waited for that would never end. */
function unref(program: ChildProcess): void {
  program.unref();
}

let rehearsedIn = 0;

/** Parent, once: V8 compiles a function when it is called, and else each child would have to: a third of a millisecond. */
function rehearseChild(native: NativeFork & NativeProcess): void {
  if (rehearsedIn === process.pid) return;
  rehearsedIn = process.pid;
  enterChild(native, () => undefined);
}

function activeHandles(): object[] {
  return (process as unknown as { _getActiveHandles(): object[] })._getActiveHandles();
}

/** By its name: to ask `instanceof` would load node:child_process into every process that may fork. */
function isChildProcess(handle: object): handle is ChildProcess {
  return handle.constructor.name === 'ChildProcess';
}

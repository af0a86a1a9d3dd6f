import { validateFunction, validateObject, validateOneOf, validateTimeout } from '../internal/validate';
import type { HookErrorHandler } from './at-fork';
import { type InheritOptions, type Inherited, inheritedBy } from './inherit';
import {
  type LostThreadsRequest,
  type MultiThreadedOptions,
  lostThreadsRequest,
  usualLostThreads,
} from './multi-threaded';

export interface ForkOptions extends MultiThreadedOptions {
  /** Milliseconds to wait for the holder of `globalLock`; Infinity must be asked for. Default 10,000. */
  lockTimeout?: number;
  /**
   * Milliseconds to wait until every other thread stands where a fork can be survived; 0 is one try, of up to 20. Default
   * 1,000.
   */
  quiesceTimeout?: number;
  /**
   * Memory that is mapped MAP_SHARED and writable (a database in WAL mode, POSIX shared memory), while Workers run. They
   * come along in the child to be ended, and one that was about to write there would do so, in the parent's memory. So
   * fork() refuses with ERR_ATFORK_SHARED_MAPPING, or with 'copy' gives the child private copies. Default 'refuse'.
   */
  sharedMappings?: 'refuse' | 'copy';
  /**
   * Requests to libuv's thread pool (files, names, crypto, zlib, a native addon's) that are in flight, or finished and not
   * delivered yet. They are the parent's: nothing of them is heard in the child. 'throw': ERR_ATFORK_PENDING_WORK where
   * there are any. 'wait': until no thread of the pool is inside one, at most `quiesceTimeout`. Default 'ignore'.
   */
  onPendingWork?: 'ignore' | 'throw' | 'wait';
  /** What the child keeps of open connections and the like. */
  inherit?: InheritOptions;
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

/** The options, checked, as fork() goes on with them. */
export interface ForkRequest {
  readonly lockTimeout: number;
  readonly quiesceTimeout: number;
  readonly copySharedMappings: boolean;
  /** As `NativeFork.fork` counts them. */
  readonly pendingWork: number;
  readonly lostThreads: LostThreadsRequest;
  readonly inherited: Inherited;
  readonly beforeErrors: 'refuse' | 'continue';
  readonly onHookError: HookErrorHandler | undefined;
}

const pendingWork = ['ignore', 'throw', 'wait'] as const;

const usual = {
  lockTimeout: 10_000,
  quiesceTimeout: 1_000,
  copySharedMappings: false,
  pendingWork: 0,
  inherited: inheritedBy(undefined),
  beforeErrors: 'refuse',
  onHookError: undefined,
} as const;

/** @throws TypeError, RangeError */
export function forkRequest(options: ForkOptions | undefined): ForkRequest {
  // What is called here is written to by V8, and then has to be copied: it is part of a fork's time.
  if (options === undefined) return { ...usual, lostThreads: usualLostThreads() };
  validateObject(options, 'options');
  const { lockTimeout = usual.lockTimeout, quiesceTimeout = usual.quiesceTimeout, sharedMappings = 'refuse' } = options;
  const { beforeErrors = usual.beforeErrors, onHookError, onPendingWork = 'ignore' } = options;
  validateTimeout(lockTimeout, 'options.lockTimeout');
  validateTimeout(quiesceTimeout, 'options.quiesceTimeout');
  validateOneOf(sharedMappings, 'options.sharedMappings', ['refuse', 'copy']);
  validateOneOf(beforeErrors, 'options.beforeErrors', ['refuse', 'continue']);
  validateOneOf(onPendingWork, 'options.onPendingWork', pendingWork);
  if (onHookError !== undefined) validateFunction(onHookError, 'options.onHookError');
  return {
    lockTimeout,
    quiesceTimeout,
    copySharedMappings: sharedMappings === 'copy',
    pendingWork: pendingWork.indexOf(onPendingWork),
    lostThreads: lostThreadsRequest(options),
    inherited: inheritedBy(options.inherit),
    beforeErrors,
    onHookError,
  };
}

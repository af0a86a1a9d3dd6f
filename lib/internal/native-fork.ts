/** What native/binding/fork_binding.cc offers to JavaScript: fork, the census and the platform. Types only. */
import type { NativeErrorInfo } from '../errors';
import type { NativeThread } from './native-process';
import type { NativeResult } from './native-result';

export interface NativeThreadPattern {
  kind?: string;
  module?: string;
  name?: string;
}

export interface NativeFork {
  /** Times in milliseconds. 0 in the child, in the parent the child's pid; negative where `lostThreads` found some. */
  fork(
    lockTimeout: number,
    quiesceTimeout: number,
    copySharedMappings: boolean,
    /** About requests to libuv's pool that have not been delivered: 0 nothing, 1 refuses, 2 waits while one is worked on. */
    pendingWork: number,
    /** Bits: 1 looks for threads that the child loses, 2 refuses for them, 4 counts every other thread as one. */
    lostThreads: number,
    /** None of them is a thread that agrees with all that one of these says. */
    allowed: readonly NativeThreadPattern[] | undefined,
  ): NativeResult<number>;
  /** What a thread of libuv's pool is doing; empty when none is inside a request. */
  poolWork(): NativeResult<string>;
  /** Which the last fork() has found, whether it forked or refused; null for none. */
  lostThreads(): NativeThread[] | null;
  /** How long the parts of the last fork took in the parent. For the benches. */
  lastForkTimings(): { lockUs: number; quiesceUs: number; forkUs: number; releaseUs: number };
  /** Checks what fork() needs and begins to watch it: once, before anything else here. Null, or why it cannot be. */
  loadFork(isMainThread: boolean): NativeErrorInfo | null;
  /** Child: its own, which process.pid is not yet. */
  getpid(): number;
  /** Child: whether Workers have come along that are to be told to end, and then released. */
  hasWorkersToEnd(): boolean;
  /** Child: lets the Workers that have been told to end run, to their end. */
  releaseWorkers(): void;
  /** Child: `fn` is called whenever one of those Workers has been ended by an abort(3) of Node's own on its thread. */
  listenToAborts(fn: () => void): void;
  /** Child: how many have. */
  abortedWorkers(): number;
  /** Gives the profiles of children names of their own: see runtime/profile_files.h. Null, or why it cannot be. */
  watchProfileFiles(names: readonly string[]): NativeErrorInfo | null;
  /** How many libuv loops there are, the main thread's included. */
  eventLoops(): number;
  /** The thread that the main thread started last is a Worker's; with `nodes`, one of Node's own. */
  learnWorkerRoutine(nodes: boolean): void;
  /** The first Worker that there is is Node's own; false when there is none. */
  keepEarliestWorker(): boolean;
}

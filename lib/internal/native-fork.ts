/** What native/binding/fork_binding.cc offers to JavaScript: fork, the census and the platform. Types only. */
import type { NativeErrorInfo } from '../errors';
import type { NativeResult } from './native-result';

export interface NativeFork {
  /** Times in milliseconds. 0 in the child, in the parent the child's pid. */
  fork(lockTimeout: number, quiesceTimeout: number, copySharedMappings: boolean): NativeResult<number>;
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
  /** How many libuv loops there are, the main thread's included. */
  eventLoops(): number;
  /** The thread that the main thread started last is a Worker's; with `nodes`, one of Node's own. */
  learnWorkerRoutine(nodes: boolean): void;
  /** The first Worker that there is is Node's own; false when there is none. */
  keepEarliestWorker(): boolean;
}

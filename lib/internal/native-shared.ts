/** What native/binding/shared_binding.cc offers to JavaScript: locks and memory that processes share. */
import type { NativeErrorInfo } from '../errors';
import type { NativeProcessLock } from './native-lock';

/** One thread's use of a lock between processes. Until `close()`, its end, or the collector's. */
export interface NativeSharedLock extends Omit<NativeProcessLock, 'enqueue' | 'holders'> {
  /** Its memory, as a descriptor. */
  readonly fd: number;
  /**
   * For this thread's event loop, which has waited for so many milliseconds. With `timedOut`, the file of the descriptor is
   * written to when it is time to try again; it is to be tried now and then even so.
   */
  tryAcquireByLoop(waited: number): number;
  failure(): NativeErrorInfo | null;
  /** Whether this thread holds it, or its event loop does. */
  isHeldHere(): boolean;
  /** None of the functions is called any more. */
  close(): void;
}

/** What `futexWait` returns. */
export const waitResult = { woken: 0, otherValue: 1, timedOut: 2, ending: 3 } as const;

export interface NativeShared {
  /** `name` null: without one. `tracked`: the tracker is told of the name. */
  createSharedLock(name: string | null, tracked: boolean): NativeSharedLock | NativeErrorInfo;
  openSharedLock(nameOrFd: string | number): NativeSharedLock | NativeErrorInfo;
  unlinkSharedLock(name: string): NativeErrorInfo | undefined;
  /** For the tracker: takes the name away if no process uses the object of that inode; false when one does. */
  unlinkUnused(path: string, inode: number): boolean;
  /** The end of a pipe for the tracker to read; -1: there is a tracker. */
  openTracker(): number | NativeErrorInfo;
  closeTracker(): void;
  /** What a tracker that is gone has been told. */
  tellTracker(name: string, inode: number): void;
  /** Null: V8 has no ArrayBuffers of memory that is not its own. */
  sharedMemory(bytes: number): { memory: ArrayBuffer; address: number } | NativeErrorInfo | null;
  /** The memory there is not the main thread's alone any more. */
  disownSharedMemory(address: number): void;
  /** `timeout` in milliseconds; `goOn` as in NativeProcessLock. One of `waitResult`. */
  futexWait(words: Int32Array, index: number, value: number, timeout: number, goOn: () => void): number;
  /** How many were woken. */
  futexNotify(words: Int32Array, index: number, count: number): number;
}

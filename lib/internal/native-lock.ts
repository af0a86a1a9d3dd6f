/** What native/binding/lock_binding.cc offers to JavaScript: the in-process locks. */

/**
 * Why a lock was not acquired (AcquireStatus of native/posix/process_lock.h, negated). What is not negative is a ticket:
 * it stands for one acquisition, and its lowest bit says that the lock's last owner had died.
 */
export const lockStatus = {
  /** Another thread holds it. */
  timedOut: -2,
  /** It was orphaned, and released without `makeConsistent()`. */
  notRecoverable: -3,
  /** This thread is about to be ended: it belongs to the parent of this process. */
  cancelled: -4,
  /** This thread holds it already, as often as can be counted. */
  tooDeep: -5,
} as const;

export interface NativeLockOwner {
  pid: number;
  /** 0: not known. */
  tid: number;
  /** 0: it ended holding the lock, and nobody has taken it since. */
  depth: number;
}

/** The methods of one lock. */
export interface NativeLockMethods {
  tryAcquire(): number;
  /** `timeout` in milliseconds. Blocks the thread: nothing, `worker.terminate()` included, reaches it meanwhile. */
  acquire(timeout: number): number;
  /** False when this thread does not hold the lock, or `ticket` is of a process that this one was forked from. */
  release(ticket?: number): boolean;
  isCurrent(ticket: number): boolean;
  /** False when this thread does not hold the lock. */
  makeConsistent(): boolean;
  isHeld(): boolean;
  isOrphaned(): boolean;
  owner(): NativeLockOwner | null;
}

export interface NativeLock {
  readonly globalLock: NativeLockMethods;
}

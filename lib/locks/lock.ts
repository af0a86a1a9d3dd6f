/** The interface that all kinds of locks share. */

export interface AcquireOptions {
  /** Milliseconds to wait; 0 only looks. Default: no limit, as with Python's `threading.Lock`. */
  timeout?: number;
}

/** The thread that holds a lock, or that ended while it held it. */
export interface LockOwner {
  readonly pid: number;
  /** The kernel's id of the thread, as `threads()` lists it; null when it is not known. */
  readonly tid: number | null;
  /** How many times it holds the lock; 0 when it ended, and nobody has acquired the lock since. */
  readonly depth: number;
}

/** One acquisition of a lock. Fit for `using`. */
export interface LockGuard {
  /**
   * True: a former owner ended while it held the lock, so what the lock protects may be half done. Repair it and call
   * `makeConsistent()` before the release; a release without that makes the lock unusable for good.
   */
  readonly ownerDied: boolean;
  /**
   * Undoes this acquisition.
   *
   * @throws NotOwnerError EPERM: released before; or acquired before a `fork()` and used in the child, whose lock is
   * held as deep as the parent's, and is given back with `lock.release()`.
   */
  release(): void;
  /** The end of a `using` block: releases what is not released yet; in the child of a `fork()` inside it, too. */
  [Symbol.dispose](): void;
}

/** A recursive lock, owned by a thread. */
export interface Lock {
  /**
   * Waits for the lock and takes it; once more if this thread holds it already. Blocks the thread, its event loop
   * included.
   *
   * @throws LockTimeoutError ETIMEDOUT: another thread held it for the whole of `timeout`.
   * @throws NotRecoverableError ENOTRECOVERABLE: it was orphaned, and released without `makeConsistent()`.
   */
  acquire(options?: AcquireOptions): LockGuard;
  /** Takes the lock if that needs no wait; null when another thread holds it. Throws like `acquire`. */
  tryAcquire(): LockGuard | null;
  /**
   * Undoes this thread's last acquisition.
   *
   * @throws NotOwnerError EPERM: this thread does not hold the lock.
   */
  release(): void;
  /**
   * Calls `fn` with the lock held and returns its result. Whether the lock is orphaned, `isOrphaned` says inside.
   *
   * @throws TypeError ERR_INVALID_RETURN_VALUE: `fn` returned a thenable, whose work would go on without the lock.
   */
  withLock<T>(fn: () => T, options?: AcquireOptions): T;
  /**
   * Declares that what the lock protects is in order again, after its owner died.
   *
   * @throws NotOwnerError EPERM: this thread does not hold the lock.
   */
  makeConsistent(): void;
  /** Whether any thread holds it. */
  readonly locked: boolean;
  /** Who holds it; while it is orphaned and not acquired again, who left it behind; else null. */
  readonly owner: LockOwner | null;
  /** Whether an owner ended while it held the lock, and `makeConsistent()` was not called since. */
  readonly isOrphaned: boolean;
}

/** The interface that all kinds of locks share. */

export interface AcquireOptions {
  /** Milliseconds to wait; 0 only looks. Default: no limit, as with Python's `threading.Lock`. */
  timeout?: number;
}

export interface AcquireAsyncOptions extends AcquireOptions {
  /** Ends the wait when it is aborted: the promise is rejected with its reason. */
  signal?: AbortSignal;
}

/** The thread that holds a lock, or that ended while it held it. */
export interface LockOwner {
  readonly pid: number;
  /** The kernel's id of the thread, as `threads()` lists it; null when it is not known. */
  readonly tid: number | null;
  /** `threadId` of node:worker_threads, 0 for the main thread; null for a thread that runs no JavaScript. */
  readonly threadId: number | null;
  /** `main thread`, or the first 15 bytes of the Worker's name; `worker 3` when it has none. Empty: not known. */
  readonly label: string;
  /** How many times it holds the lock; 0 when it ended, and nobody has acquired the lock since. */
  readonly depth: number;
  /** True: not the thread itself holds it, but a guard of `acquireAsync()` there. */
  readonly isAsync: boolean;
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
   * @throws NotOwnerError EPERM: released before; or acquired before a `fork()` and used in the child. There the lock is
   * held as deep as in the parent, and given back with `lock.release()`; or it is orphaned, if it was `acquireAsync()`
   * that gave this guard.
   */
  release(): void;
  /**
   * Declares that what the lock protects is in order again, after its owner died.
   *
   * @throws NotOwnerError as `release()` does.
   */
  makeConsistent(): void;
  /**
   * The end of a `using` block: releases what is not released yet; in the child of a `fork()` inside it, too, where that
   * holds the lock.
   */
  [Symbol.dispose](): void;
}

/** A recursive lock, owned by a thread. */
export interface Lock {
  /**
   * Waits for the lock and takes it; once more if this thread holds it already. Blocks the thread, its event loop
   * included.
   *
   * It is the thread that holds it then, whatever it does next: who awaits something while holding the lock takes it with
   * `acquireAsync()`, or another flow of the same thread would get in as if it were the same.
   *
   * @throws LockTimeoutError ETIMEDOUT: another thread held it for the whole of `timeout`.
   * @throws DeadlockError EDEADLK: the wait would never end, because the lock's holder waits for one that this thread
   * holds, or is a guard of `acquireAsync()` on this thread, which cannot be released while the thread is blocked.
   * @throws NotRecoverableError ENOTRECOVERABLE: it was orphaned, and released without `makeConsistent()`.
   */
  acquire(options?: AcquireOptions): LockGuard;
  /**
   * Waits for the lock without blocking the event loop. The guard is the owner: the lock is not recursive then, another
   * `acquireAsync()` of the same thread waits, and only the guard releases it. The wait keeps the event loop alive. In
   * the child of a `fork()` it goes on for ever, and keeps nothing alive: what was waited for is the parent's.
   *
   * Rejects like `acquire` throws, or with the reason of `signal`.
   */
  acquireAsync(options?: AcquireAsyncOptions): Promise<LockGuard>;
  /** Takes the lock if that needs no wait; null when another thread holds it. Throws like `acquire`. */
  tryAcquire(): LockGuard | null;
  /**
   * Undoes this thread's last acquisition by `acquire` or `tryAcquire`.
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
  /** Calls `fn` with the lock held by `guard`, waits for what it returns, and releases the lock. */
  withLockAsync<T>(fn: (guard: LockGuard) => T | PromiseLike<T>, options?: AcquireAsyncOptions): Promise<T>;
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

import { type NativeLockMethods, lockStatus } from '../internal/native-lock';
import { invalidReturn, isThenable, validateFunction, validateObject, validateTimeout } from '../internal/validate';
import type { AcquireOptions, Lock, LockGuard, LockOwner } from './lock';
import { heldBy, notAcquired, notOwner } from './lock-errors';
import { ProcessLockGuard } from './lock-guard';

/**
 * A wait comes back to JavaScript this often (milliseconds), because only there can V8 end it: a Worker that waits can
 * be terminated, and does not keep `process.exit()` waiting for a lock that the exiting thread holds.
 */
const longestNap = 50;

/** Not `performance.now()`: to load it is to load more than all of this package, which every child_process.spawn would pay. */
function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** A lock that all threads of the process share; the lock itself is native/posix/process_lock.h. */
export class ProcessLock implements Lock {
  readonly #name: string;
  readonly #load: () => NativeLockMethods;
  #loaded: NativeLockMethods | undefined;

  /** `name`: as in `the global lock`. `load` is called when the lock is first used, and may throw. */
  constructor(name: string, load: () => NativeLockMethods) {
    this.#name = name;
    this.#load = load;
  }

  acquire(options?: AcquireOptions): LockGuard {
    return new ProcessLockGuard(this.#name, this.#native, this.#acquire(options));
  }

  tryAcquire(): LockGuard | null {
    const ticket = this.#native.tryAcquire();
    if (ticket === lockStatus.timedOut) return null;
    if (ticket < 0) throw this.#notAcquired(ticket, 0);
    return new ProcessLockGuard(this.#name, this.#native, ticket);
  }

  release(): void {
    if (!this.#native.release()) throw this.#notOwner();
  }

  withLock<T>(fn: () => T, options?: AcquireOptions): T {
    validateFunction(fn, 'fn');
    this.#acquire(options);
    try {
      const result = fn();
      if (isThenable(result)) throw invalidReturn('no thenable', 'fn', result);
      return result;
    } finally {
      this.release();
    }
  }

  makeConsistent(): void {
    if (!this.#native.makeConsistent()) throw this.#notOwner();
  }

  get locked(): boolean {
    return this.#native.isHeld();
  }

  get owner(): LockOwner | null {
    const owner = this.#native.owner();
    return owner === null ? null : { pid: owner.pid, tid: owner.tid === 0 ? null : owner.tid, depth: owner.depth };
  }

  get isOrphaned(): boolean {
    return this.#native.isOrphaned();
  }

  get #native(): NativeLockMethods {
    return (this.#loaded ??= this.#load());
  }

  /** Returns a ticket or throws. */
  #acquire(options: AcquireOptions | undefined): number {
    const timeout = options === undefined ? Infinity : timeoutOf(options);
    const ticket = this.#native.tryAcquire();
    if (ticket >= 0) return ticket;
    const later = ticket === lockStatus.timedOut ? this.#wait(timeout) : ticket;
    if (later < 0) throw this.#notAcquired(later, timeout);
    return later;
  }

  #wait(timeout: number): number {
    const deadline = nowMs() + timeout;
    let ticket: number = lockStatus.timedOut;
    for (let left = timeout; left > 0 && ticket === lockStatus.timedOut; left = deadline - nowMs()) {
      ticket = this.#native.acquire(Math.min(left, longestNap));
    }
    return ticket;
  }

  #notAcquired(status: number, timeout: number): Error {
    return notAcquired(status, this.#name, timeout, this.owner);
  }

  #notOwner(): Error {
    return notOwner(`this thread does not hold the ${this.#name}${heldBy(this.owner)}`);
  }
}

function timeoutOf(options: AcquireOptions): number {
  validateObject(options, 'options');
  const { timeout = Infinity } = options;
  validateTimeout(timeout, 'options.timeout');
  return timeout;
}

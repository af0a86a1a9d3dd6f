import { AtforkError, fromNative } from '../errors';
import type { NativeLock, NativeProcessLock } from '../internal/native-lock';
import { lockStatus } from '../internal/native-lock';
import {
  invalidReturn,
  isThenable,
  validateAbortSignal,
  validateFunction,
  validateObject,
  validateTimeout,
} from '../internal/validate';
import type { AcquireAsyncOptions, AcquireOptions, Lock, LockGuard, LockOwner } from './lock';
import { LockCore } from './lock-core';
import { heldBy, notAcquired, notOwner, wouldDeadlock } from './lock-errors';
import { ProcessLockGuard } from './lock-guard';
import { waitForLoop } from './loop-wait';

const { acquired, cancelled, deadlock, ownerDied, timedOut } = lockStatus;

/** A lock that all threads of the process share, and with SharedLock those of others. */
export class ProcessLock implements Lock {
  /** @internal */
  protected readonly core: LockCore;

  /** See LockCore. */
  constructor(
    name: string,
    load: () => NativeLock,
    find: (native: NativeLock) => NativeProcessLock,
    isCopiedByForks?: boolean,
  ) {
    this.core = new LockCore(name, load, find, isCopiedByForks);
  }

  acquire(options?: AcquireOptions): LockGuard {
    return new ProcessLockGuard(this.core, false, this.#acquire(options));
  }

  async acquireAsync(options?: AcquireAsyncOptions): Promise<ProcessLockGuard> {
    const { timeout, signal } = asyncOptionsOf(options);
    signal?.throwIfAborted();
    const core = this.core;
    const { status, generation } = await waitForLoop(core, timeout, signal);
    // This is a child, forked since: what came of the wait is its parent's, and nothing will ever come of it here.
    if (generation !== core.generation()) return new Promise(() => undefined);
    if (status > ownerDied) throw this.#notAcquired(status, timeout);
    return new ProcessLockGuard(core, true, status === ownerDied);
  }

  tryAcquire(): LockGuard | null {
    const status = this.core.take();
    if (status === timedOut) return null;
    if (status > ownerDied) throw this.#notAcquired(status, 0);
    return new ProcessLockGuard(this.core, false, status === ownerDied);
  }

  release(): void {
    if (!this.core.give()) throw this.#notOwner();
  }

  withLock<T>(fn: () => T, options?: AcquireOptions): T {
    validateFunction(fn, 'fn');
    this.#acquire(options);
    const { core } = this;
    const generation = core.generation();
    try {
      const result = fn();
      if (isThenable(result)) throw invalidReturn('no thenable', 'fn', result);
      return result;
    } finally {
      // `fn` may have forked, and this be the child.
      if (core.isCopiedByForks || generation === core.generation()) this.release();
    }
  }

  async withLockAsync<T>(fn: (guard: LockGuard) => T | PromiseLike<T>, options?: AcquireAsyncOptions): Promise<T> {
    validateFunction(fn, 'fn');
    const guard = await this.acquireAsync(options);
    if (!guard.isCurrent()) return new Promise(() => undefined);
    try {
      return await fn(guard);
    } finally {
      guard[Symbol.dispose]();
    }
  }

  makeConsistent(): void {
    if (!this.core.makeConsistent()) throw this.#notOwner();
  }

  get locked(): boolean {
    return this.core.isHeld;
  }

  get owner(): LockOwner | null {
    const { owner } = this.core;
    if (owner === null) return null;
    const { pid, tid, threadId, label, depth, isLoop } = owner;
    return {
      pid,
      tid: tid === 0 ? null : tid,
      threadId: threadId < 0 ? null : threadId,
      label,
      depth,
      isAsync: isLoop,
    };
  }

  get isOrphaned(): boolean {
    return this.core.isOrphaned;
  }

  /** Takes it or throws; returns whether its owner had died. */
  #acquire(options: AcquireOptions | undefined): boolean {
    const timeout = options === undefined ? Infinity : timeoutOf(options);
    let status = this.core.take();
    if (status === acquired) return false;
    if (status === timedOut && timeout > 0) status = this.core.wait(timeout);
    if (status > ownerDied) throw this.#notAcquired(status, timeout);
    return status === ownerDied;
  }

  #notAcquired(status: number, timeout: number): Error {
    const { core } = this;
    if (status === deadlock) return wouldDeadlock(core.name, core.explainDeadlock());
    const failure = status === cancelled ? core.failure() : null;
    if (failure !== null) return fromNative(AtforkError, failure);
    return notAcquired(status, core.name, timeout, this.owner);
  }

  #notOwner(): Error {
    return notOwner(`this thread does not hold the ${this.core.name}${heldBy(this.owner)}`);
  }
}

function timeoutOf(options: AcquireOptions): number {
  validateObject(options, 'options');
  const { timeout = Infinity } = options;
  validateTimeout(timeout, 'options.timeout');
  return timeout;
}

function asyncOptionsOf(options: AcquireAsyncOptions = {}): { timeout: number; signal: AbortSignal | undefined } {
  const timeout = timeoutOf(options);
  const { signal } = options;
  if (signal !== undefined) validateAbortSignal(signal, 'options.signal');
  return { timeout, signal };
}

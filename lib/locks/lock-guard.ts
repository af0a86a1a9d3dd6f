import type { LockGuard } from './lock';
import type { LockCore } from './lock-core';
import { notOwner } from './lock-errors';

const spent = -1;

/**
 * One acquisition of a lock, good in the process that it was made in. One flat class, and no closures: V8 then
 * makes next to nothing of it where it does not leave the function.
 */
export class ProcessLockGuard implements LockGuard {
  readonly #core: LockCore;
  readonly #isLoops: boolean;
  readonly #ownerDied: boolean;
  #generation: number;

  /** `isLoops`: the event loop waited for it, and this guard is the owner; else the thread is. */
  constructor(core: LockCore, isLoops: boolean, ownerDied: boolean) {
    this.#core = core;
    this.#isLoops = isLoops;
    this.#ownerDied = ownerDied;
    this.#generation = core.generation();
  }

  get ownerDied(): boolean {
    return this.#ownerDied;
  }

  /** Whether this is the process that it was made in. */
  isCurrent(): boolean {
    return this.#generation === this.#core.generation();
  }

  release(): void {
    const core = this.#core;
    if (this.#generation !== core.generation()) throw this.#notCurrent();
    if (!this.#give()) throw this.#bypassed();
    this.#generation = spent;
  }

  makeConsistent(): void {
    const core = this.#core;
    if (this.#generation !== core.generation()) throw this.#notCurrent();
    if (!(this.#isLoops ? core.makeConsistentByLoop() : core.makeConsistent())) throw this.#bypassed();
  }

  [Symbol.dispose](): void {
    const generation = this.#generation;
    if (generation === spent) return;
    this.#generation = spent;
    // The child of a fork is as much inside the block as its parent, but it may have no more than a copy of the guard.
    const core = this.#core;
    if ((this.#isLoops || !core.isCopiedByForks) && generation !== core.generation()) return;
    if (!this.#give()) throw this.#bypassed();
  }

  #give(): boolean {
    return this.#isLoops ? this.#core.giveByLoop() : this.#core.give();
  }

  #notCurrent(): Error {
    const { name, isCopiedByForks } = this.#core;
    if (this.#generation === spent) return notOwner(`this guard of the ${name} was released before`);
    return notOwner(
      `this guard of the ${name} is of the process that forked this one` +
        (this.#isLoops || !isCopiedByForks
          ? ''
          : '; the lock is held as deep here as there, and given back by its own release()'),
    );
  }

  #bypassed(): Error {
    return notOwner(`the ${this.#core.name} was released behind its guard's back`);
  }
}

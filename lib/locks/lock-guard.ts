import type { NativeLockMethods } from '../internal/native-lock';
import type { LockGuard } from './lock';
import { notOwner } from './lock-errors';

const spent = -1;

/** The guard of an in-process lock. */
export class ProcessLockGuard implements LockGuard {
  readonly #name: string;
  readonly #native: NativeLockMethods;
  readonly ownerDied: boolean;
  #ticket: number;

  /** `ticket`: what the native lock returned for the acquisition. */
  constructor(name: string, native: NativeLockMethods, ticket: number) {
    this.#name = name;
    this.#native = native;
    this.#ticket = ticket;
    this.ownerDied = (ticket & 1) !== 0;
  }

  release(): void {
    const ticket = this.#ticket;
    if (ticket === spent) throw notOwner(`this guard of the ${this.#name} was released before`);
    if (!this.#native.release(ticket)) throw this.#refused(ticket);
    this.#ticket = spent;
  }

  [Symbol.dispose](): void {
    if (this.#ticket === spent) return;
    this.#ticket = spent;
    // No ticket: the block is as much inside the lock in the child of a fork as it is in the parent.
    if (!this.#native.release()) throw notOwner(`the ${this.#name} was released behind its guard's back`);
  }

  #refused(ticket: number): Error {
    if (this.#native.isCurrent(ticket)) return notOwner(`the ${this.#name} was released behind its guard's back`);
    return notOwner(
      `this guard of the ${this.#name} is of the process that forked this one; ` +
        'the lock is held as deep here as there, and given back by its own release()',
    );
  }
}

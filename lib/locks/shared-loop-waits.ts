/**
 * Event loops that wait for a lock between processes.
 *
 * Nobody in another process can wake a loop by a futex. But a file that is written to tells those that watch it, and whoever
 * releases the lock writes to the lock's, if its word says that a loop waits. So the wait is an inotify watch of Node's own,
 * and no thread; its timer makes up for what was not said: by an owner that was killed, or for want of watches.
 */
import * as fs from 'node:fs';

import { firstWait, lockStatus } from '../internal/native-lock';
import type { NativeSharedLock } from '../internal/native-shared';
import { parentsWaits } from '../internal/parents-waits';

/** Milliseconds between two looks, at first and at most. */
const firstNap = 1;
const longestNap = 64;

interface LoopWait {
  readonly onTurn: () => void;
  /** By performance.now(). */
  readonly since: number;
}

/** Those of one thread for one lock, in order. */
export class SharedLoopWaits {
  readonly #lock: NativeSharedLock;
  readonly #pending = new Map<number, LoopWait>();
  #lastId = firstWait;
  #watcher: fs.FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(lock: NativeSharedLock) {
    this.#lock = lock;
  }

  /** See `enqueue` of NativeProcessLock. */
  enqueue(onTurn: () => void): number {
    const status = this.#lock.tryAcquireByLoop(0);
    if (status !== lockStatus.timedOut) return status;
    const id = ++this.#lastId;
    this.#pending.set(id, { onTurn, since: performance.now() });
    parentsWaits.add(this.#forget);
    this.#watch();
    this.#lookLater(firstNap);
    return id;
  }

  claim(id: number): number {
    const wait = this.#pending.get(id);
    if (wait === undefined) return lockStatus.cancelled;
    const status = this.#lock.tryAcquireByLoop(performance.now() - wait.since);
    if (status !== lockStatus.timedOut) this.withdraw(id);
    return status;
  }

  withdraw(id: number): boolean {
    const waited = this.#pending.delete(id);
    if (this.#pending.size === 0) this.#stop();
    return waited;
  }

  get isWaiting(): boolean {
    return this.#pending.size > 0;
  }

  #look(): void {
    for (const [id, { onTurn }] of this.#pending) {
      onTurn();
      // It was not to be had, so it is not for those behind.
      if (this.#pending.has(id)) break;
    }
  }

  #watch(): void {
    if (this.#watcher !== undefined) return;
    try {
      this.#watcher = fs.watch(`/proc/self/fd/${String(this.#lock.fd)}`, () => {
        this.#look();
      });
      this.#watcher.on('error', () => {
        this.#unwatch();
      });
    } catch {
      // EMFILE, ENOSPC: so many may watch, and no more. There is the timer.
    }
  }

  #lookLater(nap: number): void {
    clearTimeout(this.#timer);

    this.#timer = setTimeout(() => {
      this.#look();
      if (this.#pending.size > 0) this.#lookLater(Math.min(2 * nap, longestNap));
    }, nap);
  }

  readonly #forget = (): void => {
    this.#pending.clear();
    this.#stop();
  };

  #stop(): void {
    parentsWaits.delete(this.#forget);
    clearTimeout(this.#timer);
    this.#unwatch();
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}

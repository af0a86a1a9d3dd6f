import { threadIdentity } from '../internal/lock-thread';
import {
  extraDepth,
  generation,
  held,
  loopOwner,
  mostExtraDepth,
  nobody,
  onItsWay,
  token,
  unseen,
  word,
  wordsOf,
} from '../internal/lock-words';
import type { NativeErrorInfo } from '../errors';
import {
  type NativeLock,
  type NativeLockOwner,
  type NativeLockWaits,
  type NativeProcessLock,
  lockStatus,
} from '../internal/native-lock';

/** V8 ends a thread where it calls a function. */
function goOn(): void {
  // Nothing to be done.
}

/**
 * Taking and giving back one lock: here as long as nobody else wants it, else in native/posix/process_lock or shared_lock.
 * Loads the addon on first use. Every status is one of `lockStatus`.
 */
export class LockCore {
  /** As in `the global lock`. */
  readonly name: string;
  /** Whether it is another one, as deep as the forking thread held it, in the child of a fork. */
  readonly isCopiedByForks: boolean;
  readonly #load: () => NativeLock;
  readonly #find: (native: NativeLock) => NativeProcessLock;
  #words = unseen;
  #identity = nobody;
  #thread = nobody;
  #native: NativeLock | undefined;
  #lock: NativeProcessLock | undefined;

  /** `load` is called when the lock is first used, and may throw. */
  constructor(
    name: string,
    load: () => NativeLock,
    find: (native: NativeLock) => NativeProcessLock,
    isCopiedByForks = true,
  ) {
    this.name = name;
    this.#load = load;
    this.#find = find;
    this.isCopiedByForks = isCopiedByForks;
  }

  /** Takes it, without a wait. */
  take(): number {
    const words = this.#words;
    const free = this.#identity[generation];
    const mine = held | this.#identity[token];
    // No more than a guess, which the exchange then makes sure of.
    const seen = words[word];
    if (seen === free) {
      if (Atomics.compareExchange(words, word, free, mine) === free) return lockStatus.acquired;
    } else if (seen === (free | onItsWay)) {
      if (Atomics.compareExchange(words, word, seen, mine | onItsWay) === seen) return lockStatus.acquired;
    } else if (seen === mine) {
      const depth = words[extraDepth];
      if (depth < mostExtraDepth) {
        words[extraDepth] = depth + 1;
        return lockStatus.acquired;
      }
    }
    return this.lock.tryAcquire();
  }

  /** Waits for it for `timeout` milliseconds. Nothing that JavaScript does reaches the thread meanwhile, but its end. */
  wait(timeout: number): number {
    return this.lock.acquire(timeout, goOn);
  }

  /** Undoes one acquisition by this thread; false when it does not hold the lock. */
  give(): boolean {
    const words = this.#words;
    const free = this.#identity[generation];
    const mine = held | this.#identity[token];
    if (words[extraDepth] === 0) {
      const seen = words[word];
      if (seen === mine) {
        if (Atomics.compareExchange(words, word, mine, free) === mine) return true;
      } else if (seen === (mine | onItsWay)) {
        if (Atomics.compareExchange(words, word, seen, free | onItsWay) === seen) return true;
      }
    }
    return this.lock.release();
  }

  makeConsistent(): boolean {
    return this.lock.makeConsistent();
  }

  /** Takes it for this thread's event loop, or queues it: see `enqueue` of NativeProcessLock. */
  takeForLoop(onTurn: () => void): number {
    const free = this.#identity[generation];
    const mine = held | loopOwner | this.#identity[token];
    if (Atomics.compareExchange(this.#words, word, free, mine) === free) return lockStatus.acquired;
    return this.lock.enqueue(onTurn);
  }

  claim(id: number): number {
    return this.#waits.claim(id);
  }

  withdraw(id: number): boolean {
    return this.#waits.withdraw(id);
  }

  giveByLoop(): boolean {
    const mine = held | loopOwner | this.#identity[token];
    if (Atomics.compareExchange(this.#words, word, mine, this.#identity[generation]) === mine) return true;
    return this.lock.releaseByLoop();
  }

  makeConsistentByLoop(): boolean {
    return this.lock.makeConsistentByLoop();
  }

  /** How many forks lie between this process and the one that loaded the package. */
  generation(): number {
    const thread = this.#thread;
    return thread === nobody ? this.#loaded.generation() : thread[generation];
  }

  get isHeld(): boolean {
    return this.lock.isHeld();
  }

  get isOrphaned(): boolean {
    return this.lock.isOrphaned();
  }

  get owner(): NativeLockOwner | null {
    return this.lock.owner();
  }

  get holders(): number {
    return this.lock.holders();
  }

  /** Why the last status was `deadlock`. */
  explainDeadlock(): string {
    return this.lock.explainDeadlock?.() ?? this.#loaded.explainDeadlock();
  }

  /** Why the last status was `cancelled`; null: for what that says. */
  failure(): NativeErrorInfo | null {
    return this.lock.failure?.() ?? null;
  }

  /** From now on `lock` answers, whatever is asked. */
  retire(lock: NativeProcessLock): void {
    this.#words = unseen;
    this.#identity = nobody;
    this.#lock = lock;
  }

  get lock(): NativeProcessLock {
    return this.#lock ?? this.#use();
  }

  get #waits(): NativeLockWaits {
    return this.lock.waits ?? this.#loaded.lockWaits;
  }

  get #loaded(): NativeLock {
    this.#native ??= this.#load();
    return this.#native;
  }

  #use(): NativeProcessLock {
    const native = this.#loaded;
    const lock = this.#find(native);
    this.#thread = threadIdentity(native);
    const identity = lock.identity === undefined ? this.#thread : lock.identity && wordsOf(lock.identity);
    // One without the other is of no use.
    if (lock.words !== null && identity !== null && identity !== nobody) {
      this.#words = wordsOf(lock.words);
      this.#identity = identity;
    }
    this.#lock = lock;
    return lock;
  }
}

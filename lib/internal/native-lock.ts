/** What native/binding/lock_binding.cc offers to JavaScript: the in-process locks. */
import type { NativeErrorInfo } from '../errors';

/** What an attempt to take a lock came to (AcquireStatus of native/posix/process_lock.h). */
export const lockStatus = {
  acquired: 0,
  /** Acquired; its last owner ended while it held it. */
  ownerDied: 1,
  /** Another thread holds it. */
  timedOut: 2,
  /** It was orphaned, and released without `makeConsistent()`. */
  notRecoverable: 3,
  /** This thread is about to be ended: it belongs to the parent of this process. */
  cancelled: 4,
  /** This thread holds it already, as often as can be counted. */
  tooDeep: 5,
  /** Its owner waits, perhaps by way of others, for what this thread holds. */
  deadlock: 6,
  /** Another thread holds it, and this process was made past the at-fork handlers: that thread need not exist here. */
  bypassed: 7,
} as const;

/** Ids of waits begin here: what is less is a status. */
export const firstWait = 8;

export interface NativeLockThread {
  /** 0: not known. */
  pid: number;
  tid: number;
  /** -1: it runs no JavaScript. */
  threadId: number;
  label: string;
  isLoop: boolean;
}

export interface NativeLockOwner extends NativeLockThread {
  /** 0: it ended holding the lock, and nobody has taken it since. */
  depth: number;
}

/** Who holds a lock, or waits for it. */
export interface NativeLockUser extends NativeLockThread {
  name: string;
  /** LockKind of native/posix/lock.h. */
  kind: number;
}

/** Waits of this thread's event loop, by their ids. */
export interface NativeLockWaits {
  /** One of `lockStatus`; `timedOut`: it waits on. */
  claim(id: number): number;
  /** False: it did not wait any more. */
  withdraw(id: number): boolean;
}

/** One lock. Its methods are functions of their own, which need no `this`. */
export interface NativeProcessLock {
  /** The lock's word, and how often its owner holds it beyond once: `lock-words.ts`. Null: this V8 cannot show it. */
  words: ArrayBuffer | null;
  /** Who the calling thread is to this lock, if that is not the identity that it has for all locks. */
  identity?: ArrayBuffer | null;
  /** Where its waits are, if not with all others. */
  waits?: NativeLockWaits;
  /** Why the last attempt was `cancelled`; null: for what `cancelled` says. */
  failure?(): NativeErrorInfo | null;
  /** Why the last status was `deadlock`, if not for what `explainDeadlock` of NativeLock says. */
  explainDeadlock?(): string;
  tryAcquire(): number;
  /** `timeout` in milliseconds; `goOn` is called now and then, so that V8 can end a thread that waits. */
  acquire(timeout: number, goOn: () => void): number;
  /** False when this thread does not hold the lock. */
  release(): boolean;
  makeConsistent(): boolean;
  /** The same for what this thread's event loop holds. */
  releaseByLoop(): boolean;
  makeConsistentByLoop(): boolean;
  /**
   * For this thread's event loop: one of `lockStatus`, or an id that is `firstWait` or more. Then it is queued, and `onTurn`
   * is called when it is time to claim it.
   */
  enqueue(onTurn: () => void): number;
  isHeld(): boolean;
  isOrphaned(): boolean;
  owner(): NativeLockOwner | null;
  /** How many acquisitions of it there are, those of one thread counted once if it is no semaphore. */
  holders(): number;
}

export interface NativeLock {
  /** The calling thread's token and generation: `lock-words.ts`. */
  readonly identity: ArrayBuffer | null;
  /** The second of those. */
  generation(): number;
  /** What others are told of this thread. */
  nameThread(threadId: number, label: string): void;
  readonly lockWaits: NativeLockWaits & {
    /** Child: what this thread waits for is the parent's. */
    forgetAll(): void;
  };
  /** Who waited for whom, when this thread was last told of a deadlock. */
  explainDeadlock(): string;
  readonly globalLock: NativeProcessLock;
  namedLock(name: string, rank?: number): NativeProcessLock | NativeErrorInfo;
  namedSemaphore(name: string, permits: number, rank?: number): NativeProcessLock | NativeErrorInfo;
  queryLocks(): { held: NativeLockUser[]; pending: NativeLockUser[] };
}

import type { NativeLock, NativeProcessLock } from '../internal/native-lock';
import type { Lock } from './lock';
import { ProcessLock } from './process-lock';

/**
 * So many permits, each held by a thread or by a guard of its event loop. `locked`: all are taken; `owner`: whoever has held
 * one for the longest, and how many of them it holds.
 */
export interface Semaphore extends Lock {
  /** How many there are. */
  readonly permits: number;
  /** How many of them nobody holds. */
  readonly available: number;
}

/** A semaphore that all threads of the process share. */
export class ProcessSemaphore extends ProcessLock implements Semaphore {
  readonly permits: number;

  constructor(name: string, load: () => NativeLock, find: (native: NativeLock) => NativeProcessLock, permits: number) {
    super(name, load, find);
    this.permits = permits;
  }

  get available(): number {
    return this.permits - this.core.holders;
  }
}

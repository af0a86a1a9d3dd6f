import { isMainThread } from 'node:worker_threads';
import { setTimeout as pause } from 'node:timers/promises';

import { nativeBinding } from '../binding';
import { ForkError } from '../errors';
import { forkRefusal, refusal } from './fork-support';
import { unwrap } from '../internal/native-result';
import { validateObject, validateTimeout } from '../internal/validate';

export interface QuiesceOptions {
  /** Milliseconds to wait; 0 looks twice, within some 2. Infinity must be asked for. Default 1,000. */
  timeout?: number;
}

/** Milliseconds between two looks at the pool: from, to. */
const pauses = [1, 10] as const;

/**
 * Waits, without blocking the event loop, until no thread of libuv's pool is inside a request, as `fork()` does with
 * `onPendingWork: 'wait'`. Fork in the same turn: `await quiesce(); fork()`.
 *
 * @throws ForkError ERR_ATFORK_QUIESCE_TIMEOUT, or what fork() would throw here whatever its arguments.
 */
export async function quiesce(options: QuiesceOptions = {}): Promise<void> {
  validateObject(options, 'options');
  const { timeout = 1_000 } = options;
  validateTimeout(timeout, 'options.timeout');
  if (!isMainThread) throw refusal('ERR_ATFORK_IN_WORKER');
  const refused = forkRefusal();
  if (refused !== null) throw refused;
  const deadline = performance.now() + timeout;
  for (let looks = 1, next: number = pauses[0]; ; ++looks, next = Math.min(2 * next, pauses[1])) {
    const work = unwrap(ForkError, nativeBinding().poolWork());
    if (work === '') return;
    const left = deadline - performance.now();
    // The first look may be what has started the pool.
    if (left <= 0 && looks > 1) throw refusal('ERR_ATFORK_QUIESCE_TIMEOUT', work);
    await pause(Math.max(0, Math.min(next, left)));
  }
}

/** Whether fork() can be offered in this process. Looked at once, when the package is loaded. */
import { isMainThread } from 'node:worker_threads';

import { isUnavailable, loadBinding } from '../binding';
import { ForkError, codes, fromNative } from '../errors';
import { watchWorkers } from '../internal/workers';

/** A ForkError whose code says all. */
export function refusal(code: keyof typeof codes, why = ''): ForkError {
  return new ForkError(`${code}: ${codes[code]}${why === '' ? '' : `: ${why}`}`, { code });
}

/** What fork() would throw here whatever its arguments; null when it would not. */
export const forkRefusal: ForkError | null = prepare();

function prepare(): ForkError | null {
  const binding = loadBinding();
  if (isUnavailable(binding)) return refusal(binding.code, binding.unavailable);
  const failed = binding.loadFork(isMainThread);
  if (!isMainThread) return refusal('ERR_ATFORK_IN_WORKER');
  if (failed !== null) return fromNative(ForkError, failed);
  const incomplete = watchWorkers(binding);
  return incomplete === null ? null : refusal('ERR_ATFORK_UNSUPPORTED', incomplete);
}

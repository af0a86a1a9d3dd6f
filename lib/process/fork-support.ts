/**
 * Whether fork() can be offered in this process. Looked at when the package is loaded, and once more when that is asked
 * for first: what is only needed then takes a millisecond or two.
 */
import { isMainThread } from 'node:worker_threads';

import { isUnavailable, loadBinding, nativeBinding } from '../binding';
import { ForkError, codes, fromNative } from '../errors';
import { watchQueries } from '../internal/dns-queries';
import { profileNames } from '../internal/profiles';
import { learnMathRandom } from '../internal/randomness';
import { watchWebSockets } from '../internal/undici';
import { watchWorkers } from '../internal/workers';

/** A ForkError whose code says all. */
export function refusal(code: keyof typeof codes, why = ''): ForkError {
  return new ForkError(`${code}: ${codes[code]}${why === '' ? '' : `: ${why}`}`, { code });
}

/** What has been found when the package was loaded. */
export const loadRefusal = prepare();
let learnt: ForkError | null | undefined;

/** What fork() would throw here whatever its arguments; null when it would not. Never throws. */
export function forkRefusal(): ForkError | null {
  if (loadRefusal !== null) return loadRefusal;
  if (learnt !== undefined) return learnt;
  try {
    const failed = learnMathRandom(nativeBinding());
    learnt = failed === null ? null : fromNative(ForkError, failed);
    return learnt;
  } catch (error) {
    // Not for ever: it may have been the stack that was used up.
    return refusal('ERR_ATFORK_UNSUPPORTED', `node:vm: ${String(error)}`);
  }
}

function prepare(): ForkError | null {
  const binding = loadBinding();
  if (isUnavailable(binding)) return refusal(binding.code, binding.unavailable);
  const failed = binding.loadFork(isMainThread);
  if (!isMainThread) return refusal('ERR_ATFORK_IN_WORKER');
  if (failed !== null) return fromNative(ForkError, failed);
  const profiles = profileNames();
  const unwatched = profiles === null ? null : binding.watchProfileFiles(profiles);
  if (unwatched !== null) return fromNative(ForkError, unwatched);
  watchWebSockets();
  const incomplete = watchQueries() ?? watchWorkers(binding);
  return incomplete === null ? null : refusal('ERR_ATFORK_UNSUPPORTED', incomplete);
}

/**
 * Holding off forks: for a while, or for good. From any thread; what is held off is fork() of this package, whichever of
 * its copies in this process forks. Forks of others (child_process.spawn, a native library) do not ask.
 */
import { isUnavailable, loadBinding, nativeBinding } from '../binding';
import { AtforkError } from '../errors';
import { errno } from '../internal/errno';
import type { NativePermit } from '../internal/native-permit';
import { invalidReturn, isThenable, validateCString, validateFunction } from '../internal/validate';

/** Where nothing can fork for want of an addon, there is nothing to hold off, and so nothing that could fail. */
function permit(): NativePermit | null {
  const binding = loadBinding();
  return isUnavailable(binding) && binding.code === 'ERR_ATFORK_UNSUPPORTED' ? null : nativeBinding();
}

/**
 * Calls `fn`, and returns what it returns. Until it has, fork() throws ForkError ERR_ATFORK_PREVENTED, before anything is
 * forked. If a fork is under way, `fn` runs when that is over, or it runs and there is no fork. Calls may nest. When a
 * Worker is terminated inside `fn`, forks are possible again.
 *
 * @throws TypeError when `fn` returns a thenable: what it waits for would be outside.
 */
export function preventFork<T>(fn: () => T): T {
  validateFunction(fn, 'fn');
  const native = permit();
  if (native?.enterForkless() === false) throw forkedAlong();
  try {
    const result = fn();
    if (isThenable(result)) throw invalidReturn('no thenable', 'fn', result);
    return result;
  } finally {
    native?.leaveForkless();
  }
}

/** Termination may reach a Worker in the child only some instructions after this, and `fn` would have begun. */
function forkedAlong(): AtforkError {
  const message = 'ECANCELED: this thread was forked along, to be ended';
  return new AtforkError(message, { code: 'ECANCELED', errno: -errno.ECANCELED });
}

/**
 * From here on fork() throws ForkError ERR_ATFORK_NOT_FORK_SAFE in this process, with `reason` in its message. It cannot be
 * taken back; of several reasons the first one stays.
 */
export function markNotForkSafe(reason: string): void {
  validateCString(reason, 'reason');
  permit()?.markNotForkSafe(reason);
}

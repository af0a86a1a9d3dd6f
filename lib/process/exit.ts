import { nativeBinding } from '../binding';
import { validateInteger } from '../internal/validate';

/**
 * Ends the process at once: _exit(2). No `'exit'` listener runs, no stream is flushed, and fds 0-2 stay as they are:
 * Node's own exit resets O_NONBLOCK and the terminal on descriptions that a forked child shares with its parent.
 * Called in a Worker it ends the whole process too.
 *
 * @param code the parent sees its low 8 bits.
 * @throws TypeError, RangeError when `code` is not an integer.
 */
export function _exit(code: number): never {
  validateInteger(code, 'code');
  return nativeBinding().exit(code & 0o377);
}

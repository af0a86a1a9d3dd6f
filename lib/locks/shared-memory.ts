import { isMainThread } from 'node:worker_threads';

import { nativeBinding } from '../binding';
import { AtforkError, ForkError, fromNative } from '../errors';
import { waitResult } from '../internal/native-shared';
import { noteSharedMemory } from '../internal/shared-memories';
import { invalidType, outOfRange, validateInteger, validateTimeout } from '../internal/validate';

const int32 = 2 ** 31;

/**
 * Zeroed memory that stays shared with every child this process forks from now on, and theirs. A SharedArrayBuffer does not:
 * a child has a copy of it. Atomics work on it across processes, but for `Atomics.wait` and `notify`; `futexWait` and
 * `futexNotify` do instead. To a Worker it is passed as a copy, as any ArrayBuffer is. While a Worker has such memory, made by
 * itself or transferred to it, fork() refuses, as with any other mapping that a Worker may write to.
 *
 * @param bytes an integer of 1 or more.
 * @throws AtforkError ENOMEM.
 * @throws ForkError ERR_ATFORK_UNSUPPORTED: V8 was built without ArrayBuffers of memory that is not its own.
 */
export function sharedMemory(bytes: number): ArrayBuffer {
  validateInteger(bytes, 'bytes', 1);
  const mapped = nativeBinding().sharedMemory(bytes);
  if (mapped === null) {
    const message = 'ERR_ATFORK_UNSUPPORTED: this V8 has no ArrayBuffers of memory that is not its own';
    throw new ForkError(message, { code: 'ERR_ATFORK_UNSUPPORTED' });
  }
  if ('errnum' in mapped) throw fromNative(AtforkError, mapped);
  const { address, memory } = mapped;
  if (isMainThread) noteSharedMemory(address, memory);
  return memory;
}

/**
 * Blocks until another thread or process calls `futexNotify` for that element, unless it has another value than `value` to begin
 * with: futex(2), and `Atomics.wait` for memory that processes share.
 *
 * @param timeout milliseconds; 0 only looks. Default: no limit.
 * @returns 'ok' also when it was woken for no reason: look at the value again.
 */
export function futexWait(
  words: Int32Array,
  index: number,
  value: number,
  timeout = Infinity,
): 'ok' | 'not-equal' | 'timed-out' {
  validateElement(words, index);
  validateInteger(value, 'value', -int32, int32 - 1);
  validateTimeout(timeout, 'timeout');
  const result = nativeBinding().futexWait(words, index, value, timeout, () => undefined);
  if (result === waitResult.otherValue) return 'not-equal';
  return result === waitResult.timedOut ? 'timed-out' : 'ok';
}

/**
 * Wakes at most `count` of those that wait for that element with `futexWait`, in whatever process.
 *
 * @param count default: all.
 * @returns how many that were.
 */
export function futexNotify(words: Int32Array, index: number, count = Infinity): number {
  validateElement(words, index);
  if (typeof count !== 'number') throw invalidType('count', 'of type number', count);
  if (!(count >= 0)) throw outOfRange('count', '>= 0', count);
  return nativeBinding().futexNotify(words, index, Math.min(Math.trunc(count), int32 - 1));
}

function validateElement(words: unknown, index: number): asserts words is Int32Array {
  if (!(words instanceof Int32Array)) throw invalidType('words', 'an instance of Int32Array', words);
  validateInteger(index, 'index', 0, words.length - 1);
}

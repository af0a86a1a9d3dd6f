import { nativeBinding } from '../binding';
import { AtforkError, type NativeErrorInfo, fromNative } from '../errors';
import type { NativeProcessLock } from '../internal/native-lock';
import { invalidValue, validateCString, validateInteger, validateObject } from '../internal/validate';
import type { Lock } from './lock';
import { ProcessLock } from './process-lock';
import { ProcessSemaphore, type Semaphore } from './process-semaphore';

export interface NamedLockOptions {
  /**
   * A fork takes locks in order of rank, the lowest first; who holds several at a time should have taken them in that
   * order, too. An integer of 32 bits. Default: that of the lock, 0 when it is new.
   */
  rank?: number;
}

/** Bytes of a name. */
const longestName = 255;
const int32 = 2 ** 31;
/** As many permits as a semaphore can have (native/posix/process_semaphore.h). */
const mostPermits = 65_535;

const locks = new Map<string, Lock>();
const semaphores = new Map<string, Semaphore>();

/**
 * The lock of that name in this process: made when it is first asked for, shared by all threads and all copies of this
 * package, and kept for the life of the process. A fork waits for all of them, `globalLock` included, within one
 * `lockTimeout`; so they are for a fixed set of things, not for every item of a list that grows.
 *
 * `name`: 1 to 255 bytes of UTF-8, no null byte.
 *
 * @throws AtforkError EINVAL: there is one of another rank.
 */
export function namedLock(name: string, options: NamedLockOptions = {}): Lock {
  const rank = checkName(name, options);
  const known = locks.get(name);
  if (known !== undefined && rank === undefined) return known;
  const found = checked(name, nativeBinding().namedLock(name, rank));
  if (known !== undefined) return known;
  const lock = new ProcessLock(`lock '${name}'`, nativeBinding, () => found);
  locks.set(name, lock);
  return lock;
}

/**
 * The semaphore of that name in this process, with `permits` permits, 1 to 65,535; for the rest see `namedLock`. Names of
 * locks are other names. It is not recursive: whoever holds a permit takes another one.
 *
 * @throws AtforkError EINVAL: there is one with another number of permits, or of another rank.
 */
export function namedSemaphore(name: string, permits: number, options: NamedLockOptions = {}): Semaphore {
  const rank = checkName(name, options);
  validateInteger(permits, 'permits', 1, mostPermits);
  const known = semaphores.get(name);
  if (known?.permits === permits && rank === undefined) return known;
  const found = checked(name, nativeBinding().namedSemaphore(name, permits, rank));
  if (known !== undefined) return known;
  const semaphore = new ProcessSemaphore(`semaphore '${name}'`, nativeBinding, () => found, permits);
  semaphores.set(name, semaphore);
  return semaphore;
}

function checkName(name: string, options: NamedLockOptions): number | undefined {
  validateCString(name, 'name');
  if (name === '' || Buffer.byteLength(name) > longestName) {
    throw invalidValue('name', `must have 1 to ${String(longestName)} bytes`, name);
  }
  validateObject(options, 'options');
  const { rank } = options;
  if (rank !== undefined) validateInteger(rank, 'options.rank', -int32, int32 - 1);
  return rank;
}

function checked(name: string, found: NativeProcessLock | NativeErrorInfo): NativeProcessLock {
  if (!('errnum' in found)) return found;
  throw fromNative(AtforkError, { ...found, detail: `'${name}' is there already, and ${found.detail}` });
}

/** The errors of locks, in words. */
import { AtforkError, LockTimeoutError, NotOwnerError, NotRecoverableError } from '../errors';
import { errno } from '../internal/errno';
import { lockStatus } from '../internal/native-lock';
import type { LockOwner } from './lock';

const { EAGAIN, ECANCELED, ENOTRECOVERABLE, EPERM, ETIMEDOUT } = errno;

export function notOwner(why: string): NotOwnerError {
  return new NotOwnerError(`EPERM: ${why}`, { code: 'EPERM', errno: -EPERM });
}

/** The error that a native status, other than a ticket, stands for. `timeout` in milliseconds. */
export function notAcquired(status: number, name: string, timeout: number, owner: LockOwner | null): AtforkError {
  switch (status) {
    case lockStatus.timedOut:
      return new LockTimeoutError(
        `ETIMEDOUT: the ${name} was not to be had within ${String(timeout)} ms${heldBy(owner)}`,
        { code: 'ETIMEDOUT', errno: -ETIMEDOUT },
      );
    case lockStatus.notRecoverable:
      return new NotRecoverableError(
        `ENOTRECOVERABLE: the ${name} was orphaned by its owner's end, and then released without makeConsistent()`,
        { code: 'ENOTRECOVERABLE', errno: -ENOTRECOVERABLE },
      );
    case lockStatus.tooDeep:
      return new AtforkError(`EAGAIN: this thread holds the ${name} too many times to count`, {
        code: 'EAGAIN',
        errno: -EAGAIN,
      });
    default:
      return new AtforkError(`ECANCELED: this thread takes no locks: it was forked along, to be ended`, {
        code: 'ECANCELED',
        errno: -ECANCELED,
      });
  }
}

/** `: thread 12 of process 10 holds it`, or nothing when nobody does by now. */
export function heldBy(owner: LockOwner | null): string {
  if (owner === null || owner.depth === 0) return '';
  const thread = owner.tid === null ? 'a thread' : `thread ${String(owner.tid)}`;
  return `: ${thread} of process ${String(owner.pid)} holds it`;
}

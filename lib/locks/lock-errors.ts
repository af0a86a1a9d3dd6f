/** The errors of locks, in words. */
import { AtforkError, DeadlockError, LockTimeoutError, NotOwnerError, NotRecoverableError } from '../errors';
import { errno } from '../internal/errno';
import { lockStatus } from '../internal/native-lock';
import type { LockOwner } from './lock';

const { EAGAIN, ECANCELED, EDEADLK, ENOTRECOVERABLE, EPERM, ESTALE, ETIMEDOUT } = errno;

export function notOwner(why: string): NotOwnerError {
  return new NotOwnerError(`EPERM: ${why}`, { code: 'EPERM', errno: -EPERM });
}

/** `why`: who waits for whom. */
export function wouldDeadlock(name: string, why: string): DeadlockError {
  const message = `EDEADLK: waiting for the ${name} would never end: ${why}`;
  return new DeadlockError(message, { code: 'EDEADLK', errno: -EDEADLK });
}

/** The error that a status stands for with which the lock was not acquired; not for a deadlock. `timeout` in milliseconds. */
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
    case lockStatus.bypassed:
      return new AtforkError(
        `ESTALE: the ${name} is held, perhaps by a thread of the parent: this process was made past the at-fork handlers`,
        { code: 'ESTALE', errno: -ESTALE },
      );
    default:
      return new AtforkError(`ECANCELED: this thread takes no locks: it was forked along, to be ended`, {
        code: 'ECANCELED',
        errno: -ECANCELED,
      });
  }
}

/** `: worker 3 (thread 12 of process 10) holds it`, or nothing when nobody does by now. */
export function heldBy(owner: LockOwner | null): string {
  if (owner === null || owner.depth === 0) return '';
  return `: ${nameOf(owner)} holds it`;
}

function nameOf(owner: LockOwner): string {
  const thread = owner.tid === null ? 'a thread' : `thread ${String(owner.tid)}`;
  const who = `${thread} of process ${String(owner.pid)}`;
  return owner.label === '' ? who : `${owner.label} (${who})`;
}

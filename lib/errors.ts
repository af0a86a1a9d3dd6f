/**
 * Every error class and code of this library, in one table (docs/errors.md is written from it).
 *
 * `error.code` is the stable key; messages may change. `errno` is negative, as in Node's SystemError.
 */
import * as util from 'node:util';

import { errno } from './internal/errno';

/** Codes of this library's own; POSIX names are used wherever POSIX has one. */
export const codes = {
  ERR_ATFORK_MULTITHREADED: 'a thread would be lost that may hold a lock',
  ERR_ATFORK_IN_WORKER: 'this is a Worker; only the main thread can fork',
  ERR_ATFORK_REENTRANT: 'fork() was called while a fork was under way',
  ERR_ATFORK_LOCK_TIMEOUT: 'another thread held the lock for the whole of lockTimeout',
  ERR_ATFORK_NOT_FORK_SAFE: 'the process was declared not fork-safe',
  ERR_ATFORK_PREVENTED: 'preventFork() is running a function that no fork may fall into',
  ERR_ATFORK_HOOK_FAILED: 'a `before` hook threw',
  ERR_ATFORK_PENDING_WORK: 'libuv requests were in flight',
  ERR_ATFORK_UNSUPPORTED: 'a complete child cannot be guaranteed here',
  ERR_ATFORK_SHARED_MAPPING: 'a Worker may write to memory that the child would share with the parent',
  ERR_ATFORK_QUIESCE_TIMEOUT: 'other threads did not reach a safe place within quiesceTimeout',
  ERR_ATFORK_DUPLICATE: 'another copy of atfork is loaded in this process',
  ERR_ATFORK_TEARDOWN: 'the environment is being torn down',
} as const;

export type AtforkCode = keyof typeof codes;

/** What libuv has no name for: `util.getSystemErrorMap()` does not list them. */
const ownErrnos: readonly (readonly [errnum: number, name: string, text: string])[] = [
  [errno.ENOEXEC, 'ENOEXEC', 'exec format error'],
  [errno.ECHILD, 'ECHILD', 'no child processes'],
  [errno.EDEADLK, 'EDEADLK', 'resource deadlock avoided'],
  [errno.ESTALE, 'ESTALE', 'stale file handle'],
  [errno.EOWNERDEAD, 'EOWNERDEAD', 'owner died'],
  [errno.ENOTRECOVERABLE, 'ENOTRECOVERABLE', 'state not recoverable'],
];

/** Positive errno to its POSIX name and its text. */
const errnos: ReadonlyMap<number, readonly [name: string, text: string]> = new Map([
  ...[...util.getSystemErrorMap()].map(([negative, entry]) => [-negative, entry] as const),
  ...ownErrnos.map(([errnum, name, text]) => [errnum, [name, text]] as const),
]);

/** The POSIX name of a positive errno, or `UNKNOWN_<n>`. */
export function errnoName(errnum: number): string {
  return errnos.get(errnum)?.[0] ?? `UNKNOWN_${String(errnum)}`;
}

/** What the native layer reports of a failure; see native/posix/result.h. */
export interface NativeErrorInfo {
  errnum: number;
  syscall: string;
  stage: string;
  code: string | null;
  detail: string;
}

/** The fields of an AtforkError; an absent one is absent on the error too. */
export interface AtforkErrorInit {
  code: string;
  errno?: number;
  syscall?: string;
  stage?: string;
  cause?: unknown;
}

/** The base of every error that this library throws for a failure; misuse is a TypeError or RangeError with Node's codes. */
export class AtforkError extends Error {
  /** A POSIX name (`EAGAIN`) or one of `codes`. */
  readonly code: string;
  /** The negative errno, when a system call failed. `declare`: a field that does not apply is absent, not undefined. */
  declare readonly errno?: number;
  /** The call that failed. */
  declare readonly syscall?: string;
  /** Where in the operation it failed. */
  declare readonly stage?: string;

  constructor(message: string, init: AtforkErrorInit) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = init.code;
    if (init.errno !== undefined) this.errno = init.errno;
    if (init.syscall !== undefined && init.syscall !== '') this.syscall = init.syscall;
    if (init.stage !== undefined && init.stage !== '') this.stage = init.stage;
  }

  // An accessor on the prototype: the stack's first line is made while `super()` runs, before any field is set.
  override get name(): string {
    return this.constructor.name;
  }
}

/** fork(2) failed, or was refused before anything was forked. Either way there is no child. */
export class ForkError extends AtforkError {}
/** A program could not be started: `stage` says at which step. There is no child, or it has been reaped. */
export class ExecError extends AtforkError {
  /** The file or folder that it failed for, where it was one. */
  declare readonly path?: string;
}
/** waitpid(2) failed: ECHILD when somebody else reaped the child. */
export class WaitError extends AtforkError {}
/** A program wrote more than `maxBuffer` (ENOBUFS), and was killed: `output` is what there was until then, and its end. */
export class OutputError extends AtforkError {
  declare readonly output: unknown;
}
/** A lock was not acquired within its timeout (ETIMEDOUT). */
export class LockTimeoutError extends AtforkError {}
/** Waiting would never end (EDEADLK). */
export class DeadlockError extends AtforkError {}
/** The caller does not hold the lock (EPERM). */
export class NotOwnerError extends AtforkError {}
/** The lock's owner ended while holding it (EOWNERDEAD). */
export class OwnerDiedError extends AtforkError {}
/** The lock was released while inconsistent (ENOTRECOVERABLE). */
export class NotRecoverableError extends AtforkError {}

/** The constructor of one of the classes above. */
export type AtforkErrorClass<E extends AtforkError = AtforkError> = new (message: string, init: AtforkErrorInit) => E;

/** Builds the error of class `cls` that a native failure stands for: `EAGAIN: resource temporarily unavailable, fork`. */
export function fromNative<E extends AtforkError>(cls: AtforkErrorClass<E>, info: NativeErrorInfo): E {
  const code = info.code ?? errnoName(info.errnum);
  const where = info.syscall === '' ? '' : `, ${info.syscall}`;
  const detail = info.detail === '' ? '' : `: ${info.detail}`;
  const init: AtforkErrorInit = { code, syscall: info.syscall, stage: info.stage };
  if (info.errnum !== 0) init.errno = -info.errnum;
  return new cls(`${code}: ${describe(code, info.errnum)}${where}${detail}`, init);
}

function describe(code: string, errnum: number): string {
  return isAtforkCode(code) ? codes[code] : (errnos.get(errnum)?.[1] ?? 'unknown error');
}

/** Whether `code` is one of this library's own. */
export function isAtforkCode(code: string): code is AtforkCode {
  return Object.hasOwn(codes, code);
}

import { nativeBinding } from '../binding';
import { AtforkError, type NativeErrorInfo, fromNative } from '../errors';
import { errno } from '../internal/errno';
import type { NativeProcessLock } from '../internal/native-lock';
import type { NativeSharedLock } from '../internal/native-shared';
import { invalidValue, validateBoolean, validateCString, validateInteger, validateObject } from '../internal/validate';
import { createTracked, forgetName } from './name-tracker';
import { ProcessLock } from './process-lock';
import { SharedLoopWaits } from './shared-loop-waits';

export interface CreateSharedLockOptions {
  /**
   * True: the name stays until it is unlinked. Default: until the process that created it has ended, however it did, and all
   * that use it.
   */
  persist?: boolean;
}

export interface OpenSharedLockOptions extends CreateSharedLockOptions {
  /** Creates it if there is none of that name: `O_CREAT` of sem_open(3). Default false. */
  create?: boolean;
}

/**
 * A recursive lock that processes share, and all their threads.
 *
 * Its owner is a thread (or a guard of `acquireAsync()`) of one process. A child of a fork does not hold what its parent
 * holds: its copy of a guard is no good, and it waits like any other process. When the process of the owner ends, be it by
 * SIGKILL, or executes another program, the next one to acquire the lock finds `ownerDied` true.
 *
 * Without a name it is memory that a child of a fork inherits; another process needs its `fd`. With a name, all processes of
 * the same user in the same pid namespace (container) can open it.
 *
 * Deadlines are of a clock that nobody sets. A wait for a lock of another process is not part of `DeadlockError`'s circles.
 */
export class SharedLock extends ProcessLock {
  /** As given to `create` or `open`; null when it has none. */
  readonly name: string | null;
  readonly #native: NativeSharedLock;
  readonly #waits: SharedLoopWaits;
  #isClosed = false;

  private constructor(name: string | null, native: NativeSharedLock) {
    const waits = new SharedLoopWaits(native);
    const lock: NativeProcessLock = {
      ...native,
      waits,
      enqueue: (onTurn) => waits.enqueue(onTurn),
      holders: () => (native.isHeld() ? 1 : 0),
      explainDeadlock: () => 'a guard of acquireAsync() on this thread holds it',
    };
    super(name === null ? 'shared lock' : `shared lock '${name}'`, nativeBinding, () => lock, false);
    this.name = name;
    this.#native = native;
    this.#waits = waits;
  }

  /**
   * A new lock. With a name: 1 to 100 ASCII letters, digits, `.`, `_` and `-`, the first one a letter or a digit; mode 0600,
   * and, unless it is to persist, watched by a process of its own that takes the name away (docs/locks.md).
   *
   * @throws AtforkError EEXIST: there is one of that name.
   */
  static create(name?: string, options: CreateSharedLockOptions = {}): SharedLock {
    const tracked = !persists(options);
    if (name === undefined) return new SharedLock(null, checked(nativeBinding().createSharedLock(null, false)));
    validateName(name);
    return new SharedLock(name, checked(createNamed(name, tracked)));
  }

  /**
   * The lock of that name, which any process of this user has created.
   *
   * @throws AtforkError ENOENT; EPERM, ELOOP, EMLINK: it is not what `create` makes for this user (another owner or mode, no
   * regular file, a symbolic link, several names); ESTALE: of another version of this library, or no lock; EXDEV: of another
   * pid namespace, where its owners' tids mean other threads.
   */
  static open(name: string, options: OpenSharedLockOptions = {}): SharedLock {
    validateName(name);
    const tracked = !persists(options);
    const { create = false } = options;
    validateBoolean(create, 'options.create');
    const native = nativeBinding();
    if (!create) return new SharedLock(name, checked(native.openSharedLock(name)));
    for (;;) {
      const opened = native.openSharedLock(name);
      if (!isError(opened, 'ENOENT')) return new SharedLock(name, checked(opened));
      const created = createNamed(name, tracked);
      if (!isError(created, 'EEXIST')) return new SharedLock(name, checked(created));
    }
  }

  /**
   * The lock whose `fd` this is, in a process that has inherited it: by `stdio` of a program that was started, say. The
   * descriptor may be closed afterwards.
   *
   * @throws AtforkError EBADF; EACCES, EPERM, ESTALE, EXDEV: it is no lock that can be used here (see `open`).
   */
  static fromFd(fd: number): SharedLock {
    validateInteger(fd, 'fd', 0, 2 ** 31 - 1);
    return new SharedLock(null, checked(nativeBinding().openSharedLock(fd)));
  }

  /**
   * Takes the name away: the lock goes on for those who have it open.
   *
   * @throws AtforkError ENOENT; EPERM: another user's.
   */
  static unlink(name: string): void {
    validateName(name);
    const error = nativeBinding().unlinkSharedLock(name);
    if (error !== undefined) throw fromNative(AtforkError, error);
    forgetName(name);
  }

  /** The descriptor of its memory, for a program that is to inherit it and call `fromFd`. Not to be closed. */
  get fd(): number {
    if (this.#isClosed) throw closed(this.core.name);
    return this.#native.fd;
  }

  /**
   * Ends this use of the lock; every method throws EBADF from then on. The name stays.
   *
   * @throws AtforkError EBUSY: this thread holds it, or waits for it with `acquireAsync()`.
   */
  close(): void {
    if (this.#isClosed) return;
    const { core } = this;
    if (this.#native.isHeldHere() || this.#waits.isWaiting) {
      throw new AtforkError(`EBUSY: this thread holds the ${core.name}, or waits for it`, {
        code: 'EBUSY',
        errno: -errno.EBUSY,
      });
    }
    this.#isClosed = true;
    core.retire(closedLock(core.name));
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function createNamed(name: string, tracked: boolean): NativeSharedLock | NativeErrorInfo {
  return tracked ? createTracked(name) : nativeBinding().createSharedLock(name, false);
}

function persists(options: CreateSharedLockOptions): boolean {
  validateObject(options, 'options');
  const { persist = false } = options;
  validateBoolean(persist, 'options.persist');
  return persist;
}

function validateName(name: string): void {
  validateCString(name, 'name');
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) {
    throw invalidValue(
      'name',
      "must be 1 to 100 letters, digits, '.', '_' and '-', the first a letter or a digit",
      name,
    );
  }
}

function isError(found: NativeSharedLock | NativeErrorInfo, code: 'ENOENT' | 'EEXIST'): boolean {
  return 'errnum' in found && found.errnum === errno[code];
}

function checked(found: NativeSharedLock | NativeErrorInfo): NativeSharedLock {
  if (!('errnum' in found)) return found;
  throw fromNative(AtforkError, found);
}

function closed(name: string): AtforkError {
  return new AtforkError(`EBADF: the ${name} was closed`, { code: 'EBADF', errno: -errno.EBADF });
}

/** Throws, whatever is asked. */
function closedLock(name: string): NativeProcessLock {
  const fail = (): never => {
    throw closed(name);
  };
  return new Proxy({ words: null } as NativeProcessLock, { get: () => fail });
}

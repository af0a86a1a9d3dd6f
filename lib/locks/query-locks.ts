import { nativeBinding } from '../binding';
import type { NativeLockUser } from '../internal/native-lock';

/** One acquisition of a lock, or one wait for it; the shape of the Web Locks API's `LockInfo`, and what is known here. */
export interface LockInfo {
  readonly name: string;
  /** `shared`: a permit of a semaphore. */
  readonly mode: 'exclusive' | 'shared';
  /** Of the thread: its process and `threadId`, as in Node's `navigator.locks`; or its kernel's id, if it runs no JavaScript. */
  readonly clientId: string;
  readonly kind: 'global' | 'lock' | 'semaphore';
  readonly pid: number;
  /** Null: not known. */
  readonly tid: number | null;
  readonly threadId: number | null;
  /** See `LockOwner`. */
  readonly label: string;
  /** A guard of `acquireAsync()`, or a wait of it. */
  readonly isAsync: boolean;
}

export interface LockSnapshot {
  /** In the order in which a fork takes them. */
  readonly held: readonly LockInfo[];
  /** Of one lock: in the order in which they get it, if they wait for a millisecond. */
  readonly pending: readonly LockInfo[];
}

const kinds = ['global', 'lock', 'semaphore'] as const;

/**
 * Who holds the locks of this process at the moment, and who waits for them: `globalLock`, and all named locks and
 * semaphores, of every thread.
 */
export function queryLocks(): LockSnapshot {
  const { held, pending } = nativeBinding().queryLocks();
  return { held: held.map(lockInfo), pending: pending.map(lockInfo) };
}

function lockInfo({ name, kind, pid, tid, threadId, label, isLoop }: NativeLockUser): LockInfo {
  const client = threadId < 0 ? `native-${String(pid)}-${String(tid)}` : `node-${String(pid)}-${String(threadId)}`;
  const kindName = kinds[kind] ?? 'lock';
  return {
    name,
    mode: kindName === 'semaphore' ? 'shared' : 'exclusive',
    clientId: client,
    kind: kindName,
    pid,
    tid: tid === 0 ? null : tid,
    threadId: threadId < 0 ? null : threadId,
    label,
    isAsync: isLoop,
  };
}

/** What this thread's event loop waits for without blocking. */
import type { NativeLock } from './native-lock';

type Settle = (status: number) => void;

const waits = new Map<number, Settle>();
let lastId = 0;
let listening: NativeLock | undefined;

/** Begins a wait by `enqueue(id)`; returns its status, or, when it is queued, the id under which `settle` is kept. */
export function beginWait(
  native: NativeLock,
  enqueue: (id: number) => number,
  queued: number,
  settle: Settle,
): { status: number; id: number } {
  if (listening !== native) {
    native.lockWaits.listen((id, status) => {
      if (id === undefined || status === undefined) return;
      const waiting = waits.get(id);
      waits.delete(id);
      waiting?.(status);
    });
    listening = native;
  }
  const id = nextId();
  const status = enqueue(id);
  if (status === queued) waits.set(id, settle);
  return { status, id };
}

/** True: it waits no more, and will not be settled. False: it was over. */
export function withdrawWait(native: NativeLock, id: number): boolean {
  if (!waits.delete(id)) return false;
  native.lockWaits.withdraw(id);
  return true;
}

/** Child: whoever waits, waits in the parent. */
export function forgetWaits(): void {
  waits.clear();
  listening?.lockWaits.forget();
}

function nextId(): number {
  do {
    lastId = (lastId + 1) >>> 0;
  } while (waits.has(lastId));
  return lastId;
}

import { lockStatus } from '../internal/native-lock';
import type { LockCore } from './lock-core';

/** Node's own timers are no longer than this; beyond, a wait has no end that anybody will see. */
const longestTimer = 2 ** 31 - 1;

/**
 * Takes the lock for this thread's event loop, within `timeout` milliseconds. Resolves to one of `lockStatus`, rejects
 * with the signal's reason.
 */
export function waitForLoop(core: LockCore, timeout: number, signal: AbortSignal | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const { status, id } = core.takeForLoop((settled) => {
      stop();
      resolve(settled);
    });
    if (status !== lockStatus.timedOut || timeout === 0) {
      if (status === lockStatus.timedOut) core.withdraw(id);
      resolve(status);
      return;
    }
    if (timeout <= longestTimer) {
      timer = setTimeout(() => {
        stop();
        if (core.withdraw(id)) resolve(lockStatus.timedOut);
      }, timeout);
    }
    const onAbort = (): void => {
      stop();
      // The reason is the program's, whatever it is.
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      if (core.withdraw(id)) reject(signal?.reason);
    };
    const stop = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

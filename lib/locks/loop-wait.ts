import { firstWait, lockStatus } from '../internal/native-lock';
import { parentsWaits } from '../internal/parents-waits';
import type { LockCore } from './lock-core';

/** Node's own timers are no longer than this; beyond, a wait has no end that anybody will see. */
const longestTimer = 2 ** 31 - 1;

/** What a wait came to, and in which process: the child of a fork has a copy of all that goes on here. */
export interface LoopWaitResult {
  /** One of `lockStatus`. */
  readonly status: number;
  readonly generation: number;
}

/** Takes the lock for this thread's event loop, within `timeout` milliseconds. Rejects with the signal's reason. */
export function waitForLoop(core: LockCore, timeout: number, signal: AbortSignal | undefined): Promise<LoopWaitResult> {
  return new Promise((resolve, reject) => {
    const settle = (status: number): void => {
      resolve({ status, generation: core.generation() });
    };
    const answer = core.takeForLoop(() => {
      const status = core.claim(answer);
      if (status === lockStatus.timedOut) return;
      stop();
      settle(status);
    });
    if (answer < firstWait) {
      settle(answer);
      return;
    }
    if (timeout === 0) {
      core.withdraw(answer);
      settle(lockStatus.timedOut);
      return;
    }
    const timer = timeout <= longestTimer ? setTimeout(onTimeout, timeout) : undefined;
    signal?.addEventListener('abort', onAbort, { once: true });
    parentsWaits.add(stop);

    function onTimeout(): void {
      stop();
      if (core.withdraw(answer)) settle(lockStatus.timedOut);
    }

    function onAbort(): void {
      stop();
      // The reason is the program's, whatever it is.
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      if (core.withdraw(answer)) reject(signal?.reason);
    }

    function stop(): void {
      parentsWaits.delete(stop);
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  });
}

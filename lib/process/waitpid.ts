import { nativeBinding } from '../binding';
import { WaitError } from '../errors';
import type { NativeWaitStatus } from '../internal/native-process';
import { unwrap } from '../internal/native-result';
import { validateBoolean, validateInteger, validateObject, validateTimeout } from '../internal/validate';
import { signalName } from './signals';

export interface WaitpidOptions {
  /** Only look: do not wait at all, whatever `timeout` says. Default false. */
  noHang?: boolean;
  /** Milliseconds to wait at most; 0 only looks. Default Infinity, as in POSIX. */
  timeout?: number;
}

/** How a child ended: by `_exit` (then `exitCode` is a number) or by a signal (then `signalCode` is its name). */
export interface WaitStatus {
  /** 0 to 255. */
  readonly exitCode: number | null;
  /** As in `os.constants.signals`, or `'SIGRTMIN+n'`. */
  readonly signalCode: string | null;
  readonly coreDumped: boolean;
}

const maxPid = 2 ** 31 - 1;

/** What the native layer reports of an end. */
export function waitStatusOf(status: NativeWaitStatus): WaitStatus {
  return {
    exitCode: status.signaled ? null : status.code,
    signalCode: status.signaled ? signalName(status.code) : null,
    coreDumped: status.coreDumped,
  };
}

/**
 * Waits for the child `pid` and reaps it: waitpid(2) for one known child. It blocks the thread, and with it the event
 * loop. A stopped child is a running one.
 *
 * For children of `fork()`. Do not wait for a child of `child_process`: Node reaps that one itself, and would never emit
 * its `'exit'`.
 *
 * @returns how it ended, or null when it still runs after `timeout` (at once with `noHang`).
 * @throws WaitError ECHILD: no child of this process, or somebody else reaped it.
 * @throws TypeError, RangeError for arguments of the wrong type, a `pid` below 1, a negative `timeout`.
 */
export function waitpid(pid: number, options: WaitpidOptions = {}): WaitStatus | null {
  validateInteger(pid, 'pid', 1, maxPid);
  validateObject(options, 'options');
  const { noHang = false, timeout = Infinity } = options;
  validateBoolean(noHang, 'options.noHang');
  validateTimeout(timeout, 'options.timeout');

  const status = unwrap(WaitError, nativeBinding().waitpid(pid, noHang ? 0 : timeout));
  return status === null ? null : waitStatusOf(status);
}

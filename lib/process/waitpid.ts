import type * as os from 'node:os';

import { nativeBinding } from '../binding';
import { WaitError } from '../errors';
import { unwrap } from '../internal/native-result';
import { validateBoolean, validateInteger, validateObject, validateTimeout } from '../internal/validate';

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

let signalNames: ReadonlyMap<number, string> | undefined;

/** Of two names for one number the first is the usual one (SIGABRT, SIGIOT), and the one that Node reports. */
function readSignalNames(): ReadonlyMap<number, string> {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when it is needed, see internal/errno.ts
  const { constants } = require('node:os') as typeof os;
  const entries = Object.entries(constants.signals).reverse();
  return new Map(entries.map(([name, number]) => [number, name]));
}

function signalName(number: number): string {
  signalNames ??= readSignalNames();
  const { sigRtMin } = nativeBinding();
  return (
    signalNames.get(number) ?? (number < sigRtMin ? `SIG${String(number)}` : `SIGRTMIN+${String(number - sigRtMin)}`)
  );
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
  if (status === null) return null;
  return {
    exitCode: status.signaled ? null : status.code,
    signalCode: status.signaled ? signalName(status.code) : null,
    coreDumped: status.coreDumped,
  };
}

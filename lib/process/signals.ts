/** Names and numbers of signals, real-time ones too: `SIGRTMIN+n`. */
import type * as os from 'node:os';

import { nativeBinding } from '../binding';
import { invalidType, invalidValue, outOfRange } from '../internal/validate';

const last = 64;

let names: ReadonlyMap<number, string> | undefined;
let numbers: ReadonlyMap<string, number> | undefined;

/** Of two names for one number the first is the usual one (SIGABRT, SIGIOT), and the one that Node reports. */
function readSignals(): [name: string, number: number][] {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when it is needed, see internal/errno.ts
  const { constants } = require('node:os') as typeof os;
  return Object.entries(constants.signals);
}

export function signalName(number: number): string {
  names ??= new Map(
    readSignals()
      .reverse()
      .map(([name, value]) => [value, name]),
  );
  const { sigRtMin } = nativeBinding();
  return names.get(number) ?? (number < sigRtMin ? `SIG${String(number)}` : `SIGRTMIN+${String(number - sigRtMin)}`);
}

/** @throws TypeError, RangeError unless `value` is a signal's name or number; with `orZero` 0 is one, too. */
export function signalNumber(value: unknown, name: string, orZero = false): number {
  if (typeof value === 'number') {
    if (Number.isInteger(value) && value >= (orZero ? 0 : 1) && value <= last) return value;
    throw outOfRange(name, `a signal: >= ${orZero ? '0' : '1'} && <= ${String(last)}`, value);
  }
  if (typeof value !== 'string') throw invalidType(name, 'of type string or number', value);
  numbers ??= new Map(readSignals());
  const known = numbers.get(value.toUpperCase());
  if (known !== undefined) return known;
  const [, offset] = /^SIGRTMIN\+(\d{1,2})$/.exec(value) ?? [];
  const number = offset === undefined ? 0 : nativeBinding().sigRtMin + Number(offset);
  if (offset !== undefined && number <= last) return number;
  throw Object.assign(invalidValue(name, 'must be the name of a signal', value), { code: 'ERR_UNKNOWN_SIGNAL' });
}

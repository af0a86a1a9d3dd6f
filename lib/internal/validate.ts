/**
 * Checks of arguments, before native code runs: a TypeError or RangeError with Node's code and in Node's words
 * (Node's own `lib/internal/validators.js` is not public).
 */
import { inspect } from 'node:util';

type InvalidCode = 'ERR_INVALID_ARG_TYPE' | 'ERR_INVALID_ARG_VALUE' | 'ERR_INVALID_RETURN_VALUE' | 'ERR_OUT_OF_RANGE';

/** `name` has a dot when it is a property: `options.timeout`. */
function what(name: string): string {
  return `"${name}" ${name.includes('.') ? 'property' : 'argument'}`;
}

function received(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value !== 'object') return `type ${typeof value} (${inspect(value, { colors: false })})`;
  const name = (value as { constructor?: { name?: string } }).constructor?.name;
  return name === undefined ? inspect(value, { depth: -1 }) : `an instance of ${name}`;
}

function coded<E extends Error>(error: E, code: InvalidCode): E {
  return Object.assign(error, { code });
}

/** A TypeError with ERR_INVALID_ARG_TYPE. `expected` reads like `of type number`. */
export function invalidType(name: string, expected: string, value: unknown): TypeError {
  const message = `The ${what(name)} must be ${expected}. Received ${received(value)}`;
  return coded(new TypeError(message), 'ERR_INVALID_ARG_TYPE');
}

/** A TypeError with ERR_INVALID_ARG_VALUE. `reason` reads like `must be a string without null bytes`. */
export function invalidValue(name: string, reason: string, value: unknown): TypeError {
  const kind = name.includes('.') ? 'property' : 'argument';
  // As long as Node's at most: of a stream, some 6,000 characters are its module's.
  const shown = inspect(value);
  const cut = shown.length > 128 ? `${shown.slice(0, 128)}...` : shown;
  return coded(new TypeError(`The ${kind} '${name}' ${reason}. Received ${cut}`), 'ERR_INVALID_ARG_VALUE');
}

/** A TypeError with ERR_INVALID_RETURN_VALUE. `expected` reads like `a string`, `name` is the function's. */
export function invalidReturn(expected: string, name: string, value: unknown): TypeError {
  const message = `Expected ${expected} to be returned from the "${name}" function but got ${received(value)}.`;
  return coded(new TypeError(message), 'ERR_INVALID_RETURN_VALUE');
}

/** A RangeError with ERR_OUT_OF_RANGE. `expected` reads like `an integer`. */
export function outOfRange(name: string, expected: string, value: unknown): RangeError {
  const message = `The value of "${name}" is out of range. It must be ${expected}. Received ${inspect(value)}`;
  return coded(new RangeError(message), 'ERR_OUT_OF_RANGE');
}

export function validateInteger(
  value: unknown,
  name: string,
  min = Number.MIN_SAFE_INTEGER,
  max = Number.MAX_SAFE_INTEGER,
): asserts value is number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < min || value > max) throw outOfRange(name, `>= ${String(min)} && <= ${String(max)}`, value);
}

/** A duration in milliseconds: zero or more, fractions too; Infinity is no limit. */
export function validateTimeout(value: unknown, name: string): asserts value is number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  if (!(value >= 0)) throw outOfRange(name, '>= 0', value);
}

export function validateBoolean(value: unknown, name: string): asserts value is boolean {
  if (typeof value !== 'boolean') throw invalidType(name, 'of type boolean', value);
}

export function validateAbortSignal(value: unknown, name: string): asserts value is AbortSignal {
  // One of another realm, or a polyfill's, is as good.
  const { throwIfAborted, addEventListener } = Object(value) as { [K in keyof AbortSignal]?: unknown };
  if (typeof throwIfAborted !== 'function' || typeof addEventListener !== 'function') {
    throw invalidType(name, 'an instance of AbortSignal', value);
  }
}

export function validateOneOf<T>(value: unknown, name: string, allowed: readonly T[]): asserts value is T {
  if (allowed.includes(value as T)) return;
  throw invalidValue(name, `must be one of: ${allowed.map((each) => inspect(each)).join(', ')}`, value);
}

/** A string that C can hold. */
export function validateCString(value: unknown, name: string): asserts value is string {
  if (typeof value !== 'string') throw invalidType(name, 'of type string', value);
  if (value.includes('\0')) throw invalidValue(name, 'must be a string without null bytes', value);
}

export function validateArray(value: unknown, name: string): asserts value is readonly unknown[] {
  if (!Array.isArray(value)) throw invalidType(name, 'an instance of Array', value);
}

export function validateObject(value: unknown, name: string): asserts value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidType(name, 'of type object', value);
  }
}

export function validateFunction(value: unknown, name: string): asserts value is (...args: never[]) => unknown {
  if (typeof value !== 'function') throw invalidType(name, 'of type function', value);
}

export function isThenable(value: unknown): boolean {
  return (
    value !== null &&
    (typeof value === 'object' || typeof value === 'function') &&
    typeof (value as { then?: unknown }).then === 'function'
  );
}

/** Of nothing. Not Object.create(null), which V8 makes a dictionary, slow to fill and to look things up in. */
const Bare = function () {
  // No properties.
} as unknown as new () => object;
Bare.prototype = Object.create(null) as object;

/** A copy without what Object.prototype may have been given. */
export function ownOnly<T extends object>(object: T): T {
  return Object.assign<object, T>(new Bare(), object);
}

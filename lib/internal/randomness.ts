/**
 * No random value of the parent's may come in the child too.
 *
 * V8's, and c-ares', the native side sees to (runtime/math_random, runtime/query_ids). Here is what lies in JavaScript, or
 * has to wait until threads that came along run: OpenSSL's seed, and what node:crypto has drawn ahead of it, 128 UUIDs
 * and 1,024 numbers for randomInt. They lie in variables of Node's own module, which the functions share with any copies
 * that a program has taken of them.
 */
import type * as nodeCrypto from 'node:crypto';
import * as vm from 'node:vm';

import { type NativeErrorInfo, errnoName } from '../errors';
import { hasLoaded } from './loaded-modules';
import type { NativeRandom } from './native-random';

type Method = (this: unknown, ...rest: unknown[]) => unknown;

/** What lib/internal/crypto/random.js (`kBatchSize`, `randomCache`) draws ahead for one function. */
interface Ahead {
  readonly values: number;
  readonly bytes: number;
  /** The next value. */
  readonly draw: () => unknown;
  /** It, when all that was drawn ahead is zeros. */
  readonly zero: unknown;
  /** What is called on the array with what was drawn ahead. */
  readonly prototype: object;
  readonly property: string;
}

interface Found {
  readonly integers?: Integers | undefined;
  readonly uuidCache?: Uint8Array | undefined;
  /** Those that were not found: their values are drawn until none is left. */
  readonly hidden: readonly Ahead[];
}

const nothing: Found = { hidden: [] };

const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as object;

/** Undefined until somebody has used node:crypto or the global `crypto`. */
let found: Found | undefined;

/** Parent, once: what must be known of V8. Null, or why the child's Math.random cannot be made to differ. */
export function learnMathRandom(native: NativeRandom): NativeErrorInfo | null {
  return native.learnMathRandom(() => {
    return vm.runInContext('Math.random', vm.createContext({})) as () => number;
  });
}

/** Parent, before each fork: finds what lies drawn ahead, so that a child can be rid of it. */
export function prepareRandomness(native: NativeRandom): void {
  // Looked at each time: a child then has no more of that list to read.
  if (!hasLoaded('internal/crypto/random') || found !== undefined) return;
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- a process that does not use it does without
  const { randomInt, randomUUID } = require('node:crypto') as typeof nodeCrypto;
  const integersAhead: Ahead = {
    values: 1024,
    bytes: 6 * 1024,
    draw: () => randomInt(2 ** 47),
    zero: 0,
    prototype: Buffer.prototype as object,
    property: 'readUIntBE',
  };
  const uuidsAhead: Ahead = {
    values: 128,
    bytes: 16 * 128,
    draw: () => randomUUID(),
    zero: '00000000-0000-4000-8000-000000000000',
    prototype: typedArrayPrototype,
    property: 'byteLength',
  };
  const hidden: Ahead[] = [];
  const [integerCache, uuidCache] = [integersAhead, uuidsAhead].map((ahead) => {
    // Twice: the next value may have been the last one of its lot.
    const array = arrayOf(ahead, native) ?? arrayOf(ahead, native) ?? undefined;
    if (array === undefined) hidden.push(ahead);
    return array;
  });
  found = { integers: integerCache && new Integers(integerCache, native), uuidCache, hidden };
}

/** Child, before its own code goes on. Workers that came along have to run: OpenSSL may have to wait for one. */
export function renewRandomness(native: NativeRandom): void {
  const { integers, uuidCache, hidden } = found ?? nothing;
  check(native.reseedOpenssl());
  if (uuidCache !== undefined) check(native.freshRandom(uuidCache));
  integers?.drop();
  for (const { values, draw } of hidden) {
    for (let i = 0; i < values; ++i) draw();
  }
}

function check(errnum: number): void {
  if (errnum !== 0) throw new Error(`getrandom: ${errnoName(errnum)}`);
}

/**
 * What randomInt draws from once its cache is found. With a callback it asks the pool to fill that cache, once for all who call it
 * meanwhile. That ends in the parent; a child could not ask again (`asyncCacheFillInProgress` is true for ever), and in the
 * parent what was drawn in between without a callback, as to find the cache, would come a second time. So the cache gets no
 * end: it is never filled again, and what is read of it, by `randomCache.readUIntBE(offset, 6)`, comes from here. It is the
 * kernel's: what node:crypto exports may be another's, for a test.
 */
class Integers {
  readonly #drawn: Buffer;
  #offset: number;

  constructor(cache: Uint8Array, native: NativeRandom) {
    this.#drawn = Buffer.allocUnsafeSlow(cache.length);
    this.#offset = cache.length;
    const draw = (_offset: number, bytes: number): number => {
      if (this.#offset === this.#drawn.length) {
        check(native.freshRandom(this.#drawn));
        this.#offset = 0;
      }
      const value = this.#drawn.readUIntBE(this.#offset, bytes);
      this.#offset += bytes;
      return value;
    };
    Object.defineProperties(cache, {
      length: { value: Infinity, configurable: true },
      readUIntBE: { value: draw, configurable: true },
    });
  }

  drop(): void {
    this.#offset = this.#drawn.length;
  }
}

/** The array of values drawn ahead; null where it is not to be seen, or is not what it seems to be. */
function arrayOf(ahead: Ahead, native: NativeRandom): Uint8Array | null {
  const array = seenArray(ahead);
  if (array === null) return null;
  try {
    array.fill(0);
    return ahead.draw() === ahead.zero ? array : null;
  } finally {
    check(native.freshRandom(array));
  }
}

/** The first array of that size that the property is read of, or the method called on, while values are drawn. */
function seenArray({ values, bytes, draw, prototype, property }: Ahead): Uint8Array | null {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, property);
  if (descriptor?.configurable !== true) return null; // --frozen-intrinsics
  const seen: Uint8Array[] = [];
  const watch = (original: Method) => {
    return function (this: unknown, ...rest: unknown[]): unknown {
      const result = original.apply(this, rest);
      if (this instanceof Uint8Array && this.length === bytes) seen.push(this);
      return result;
    };
  };
  const { get, value } = descriptor as { get?: Method; value?: Method };
  if (get !== undefined) Object.defineProperty(prototype, property, { ...descriptor, get: watch(get) });
  if (value !== undefined) Object.defineProperty(prototype, property, { ...descriptor, value: watch(value) });
  try {
    // UUIDs are looked at together, when a new lot is drawn: once in so many.
    for (let i = 0; i < values && seen.length === 0; ++i) draw();
  } finally {
    Object.defineProperty(prototype, property, descriptor);
  }
  return seen[0] ?? null;
}

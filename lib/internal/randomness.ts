/**
 * No random value of the parent's may come in the child too.
 *
 * V8's, and c-ares', the native side sees to (runtime/math_random, runtime/query_ids). Here is what lies in JavaScript, or
 * has to wait until threads that came along run: OpenSSL's seed, and what node:crypto has drawn ahead of it, 128 UUIDs
 * and 1,024 numbers for randomInt. Those lie in variables of Node's own module, which the functions share with any copies
 * that a program has taken of them.
 */
import type * as nodeCrypto from 'node:crypto';
import * as vm from 'node:vm';

import { type NativeErrorInfo, errnoName } from '../errors';
import { hasLoaded } from './loaded-modules';
import type { NativeRandom } from './native-random';

/** lib/internal/crypto/random.js: `kBatchSize`, and `randomCache` by the six bytes that each number takes. */
const cachedUuids = 128;
const cachedIntegers = 1024;

type Functions = Pick<typeof nodeCrypto, 'randomFillSync' | 'randomInt' | 'randomUUID'>;

let functions: Functions | undefined;
let integerCache: Buffer | undefined;

/** Parent, once: what must be known of V8. Null, or why the child's Math.random cannot be made to differ. */
export function learnMathRandom(native: NativeRandom): NativeErrorInfo | null {
  return native.learnMathRandom(() => {
    return vm.runInContext('Math.random', vm.createContext({})) as () => number;
  });
}

/** Parent, before each fork: nothing, until somebody has used node:crypto or the global `crypto`. */
export function prepareRandomness(): void {
  if (functions !== undefined || !hasLoaded('internal/crypto/random')) return;
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- a process that does not use it does without
  const { randomFillSync, randomInt, randomUUID } = require('node:crypto') as typeof nodeCrypto;
  functions = { randomFillSync, randomInt, randomUUID };
  integerCache = findIntegerCache(randomInt);
  // Once here, compiled, so that not every child has to.
  for (let i = 0; i < cachedUuids; ++i) randomUUID();
}

/** Child, before its own code goes on. Workers that came along have to run: OpenSSL may have to wait for one. */
export function renewRandomness(native: NativeRandom): void {
  const errnum = native.reseedOpenssl();
  if (errnum !== 0) throw new Error(`getrandom: ${errnoName(errnum)}`);
  if (functions === undefined) return;
  const { randomFillSync, randomInt, randomUUID } = functions;
  if (integerCache !== undefined) randomFillSync(integerCache);
  else for (let i = 0; i < cachedIntegers; ++i) randomInt(5);
  for (let i = 0; i < cachedUuids; ++i) randomUUID();
}

/** randomInt reads each number by a method of Buffer: seen from there, its cache can be filled in one go. */
function findIntegerCache(randomInt: (max: number) => number): Buffer | undefined {
  const property = Object.getOwnPropertyDescriptor(Buffer.prototype, 'readUIntBE');
  if (property?.configurable !== true) return undefined;
  const read = property.value as (this: Buffer, offset: number, byteLength: number) => number;
  let cache: Buffer | undefined;
  Object.defineProperty(Buffer.prototype, 'readUIntBE', {
    ...property,
    value(this: Buffer, offset: number, byteLength: number): number {
      // eslint-disable-next-line @typescript-eslint/no-this-alias -- the point of it
      cache = this;
      return read.call(this, offset, byteLength);
    },
  });
  try {
    randomInt(5);
  } finally {
    Object.defineProperty(Buffer.prototype, 'readUIntBE', property);
  }
  return cache;
}

/** What native/binding/random_binding.cc offers to JavaScript: the generators of random values. Types only. */
import type { NativeErrorInfo } from '../errors';

export interface NativeRandom {
  /**
   * Learns where V8 keeps what Math.random draws from: once, before the first fork. Null, or what was not as expected.
   * `makeContext` makes a context and returns its Math.random.
   */
  learnMathRandom(makeContext: () => () => number): NativeErrorInfo | null;
  /** Child, once Workers that came along run: OpenSSL's generators get a new seed. 0 or an errno. */
  reseedOpenssl(): number;
  /** Fills it with getrandom(2)'s bytes. 0 or an errno. */
  freshRandom(array: Uint8Array): number;
}

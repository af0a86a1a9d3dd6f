/**
 * A lock's word, for taking and releasing it without a call into the addon when nobody else wants it. The protocol is that
 * of native/posix/process_lock.h, which has the bits and the reasons.
 */

/** In the word: it is held, and the rest is its owner's token. */
export const held = 1 << 29;
/** In the word: somebody waits in the queue, and has been woken already. A release need not wake anybody then. */
export const onItsWay = (1 << 31) | (1 << 28);
/** In a token: a guard of the thread's event loop holds it. */
export const loopOwner = 1;

/** Indices of a lock's words. */
export const word = 0;
export const extraDepth = 1;
export const mostExtraDepth = 2 ** 30 - 1;
/** Indices of a thread's identity. */
export const token = 0;
export const generation = 1;

/** Two words that are always there. */
export interface Words extends Int32Array {
  0: number;
  1: number;
}

export function wordsOf(memory: ArrayBuffer): Words {
  return new Int32Array(memory, 0, 2) as Words;
}

/** The words of a lock that has not been loaded, or cannot be seen: held by nobody that there is. */
export const unseen = Int32Array.of(-1, 0) as Words;

/** The identity of a thread that has none yet. */
export const nobody = Int32Array.of(0, 0) as Words;

/**
 * The main thread's memories of sharedMemory(). A Worker that comes along into a child, to be ended, must have none of them to
 * write to, and fork() takes it that it has not. Node transfers no ArrayBuffer of an addon's memory; but it does when
 * `transfer()` of the language has moved the memory to another one.
 */
import type { NativeShared } from './native-shared';

const made = new Map<number, WeakRef<ArrayBuffer>>();

/** At that address, of one byte or more. */
export function noteSharedMemory(address: number, memory: ArrayBuffer): void {
  made.set(address, new WeakRef(memory));
}

/** Before a fork: what has been transferred is no longer the main thread's. */
export function disownTransferred(native: NativeShared): void {
  for (const [address, reference] of made) {
    const memory = reference.deref();
    if (memory !== undefined && memory.byteLength > 0) continue;
    if (memory !== undefined) native.disownSharedMemory(address);
    made.delete(address);
  }
}

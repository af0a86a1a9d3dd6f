/** The objects of this thread's libuv handles. */
import { loadedNet } from './loaded-modules';
import type { NativeHandles } from './native-handles';

export interface Owner {
  _handle?: { fd?: number; close?(): void; constructor: { name: string } } | null;
}

/** Of all of them, those too that do not keep the process alive. */
export function activeHandles(native: NativeHandles): object[] {
  return native.withHandlesReferenced(listed);
}

function listed(): object[] {
  return (process as unknown as { _getActiveHandles(): object[] })._getActiveHandles();
}

/** The streams on fds 0 to 2. */
export function stdioStreams(native: NativeHandles): object[] {
  const net = loadedNet();
  return net === null ? [] : activeHandles(native).filter((owner) => owner instanceof net.Socket && isStdio(owner));
}

/** The class of the native object that belongs to `owner`. Not for dgram's, where that is a deprecated property. */
export function handleName(owner: object): string | undefined {
  return (owner as Owner)._handle?.constructor.name;
}

/** Whether a stream is on fd 0, 1 or 2. Not for dgram's, see above. */
export function isStdio(owner: object): boolean {
  const fd = (owner as Owner)._handle?.fd ?? -1;
  return fd >= 0 && fd <= 2;
}

/** Streams that a program is given: what this process went on reading would be lost to the program. */

/** Of a net.Socket and its kin: what lib/internal/child_process.js uses of it for the same. */
interface Lent {
  readonly _handle?: { reading?: boolean; readStop?: () => unknown } | null;
  readonly _readableState?: { reading: boolean };
  readableFlowing?: boolean | null;
  pause?: () => unknown;
}

/** Until the program's owner reads from them again. `stdio`: as of forkExec(). */
export function stopReading(stdio: unknown): void {
  if (typeof stdio !== 'object' || stdio === null) return;
  for (const each of (Array.isArray(stdio) ? stdio : [stdio]) as unknown[]) {
    if (typeof each === 'object' && each !== null) stop(each);
  }
}

function stop(stream: Lent): void {
  const handle = stream._handle;
  if (typeof handle?.readStop !== 'function') return;
  handle.reading = false;
  handle.readStop();
  stream.pause?.();
  stream.readableFlowing = false;
  if (stream._readableState !== undefined) stream._readableState.reading = false;
}

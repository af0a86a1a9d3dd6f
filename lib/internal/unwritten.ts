/**
 * stdout and stderr stay open in a child. What they were given before the fork and have not written yet, since nobody reads the
 * pipe or they are corked, is the parent's to write: here nothing is left of it but the place in the queue. The callbacks
 * of these writes are heard in the parent only.
 */
import type { Writable } from 'node:stream';

interface WritableState {
  length: number;
  writecb: () => void;
  getBuffer(): { chunk: Buffer | string; encoding: string; callback: () => void }[];
}

/** Child, once the native side has dropped what is queued below the stream. */
export function forgetUnwritten(stream: Writable): void {
  if (stream.writableLength === 0) return;
  const { _writableState: state } = stream as unknown as { _writableState: WritableState };
  for (const entry of state.getBuffer()) {
    state.length -= entry.chunk.length;
    Object.assign(entry, { chunk: Buffer.alloc(0), encoding: 'buffer', callback: ignore });
  }
  state.writecb = ignore;
}

function ignore(): void {
  // Nobody is told.
}

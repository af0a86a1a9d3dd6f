/**
 * stdout and stderr stay open in a child, and what else it is to keep. What they were given before the fork and have not written
 * yet, since nobody reads the pipe or they are corked, is the parent's to write: here nothing is left of it but the place in the
 * queue. The callbacks of these writes are heard in the parent only.
 */
import { isStdio, stdioStreams } from './active-handles';
import { hasLoaded } from './loaded-modules';
import { hidden } from './silence';
import { type NativeHandles, stderrFile, stdoutFile } from './native-handles';

interface WritableState {
  length: number;
  writecb: () => void;
  getBuffer(): { chunk: Buffer | string; encoding: string; callback: () => void }[];
}

interface Stream {
  readonly _writableState?: WritableState;
}

/** The streams, and what they were found from: to find them takes some tenths of a millisecond. */
let known: { handles: Stream[]; files: Stream[]; found: number; hasFiles: boolean } | undefined;

/**
 * Child, once the native side, which has `found` these, has dropped what is queued below the streams. A rehearsal, in the
 * parent, only finds them.
 */
export function forgetUnwritten(native: NativeHandles, found: number, isRehearsal: boolean): void {
  const hasFiles = hasLoaded('internal/fs/sync_write_stream');
  const isKnown = known?.found === found && known.hasFiles === hasFiles && known.handles.every(isStdio);
  if (!isKnown) {
    const handles = stdioStreams(native);
    known = { handles, files: hasFiles ? fileStreams(found) : [], found, hasFiles };
  }
  forgetThose(known?.handles, isRehearsal);
  forgetThose(known?.files, isRehearsal);
}

function forgetThose(streams: Stream[] | undefined, isRehearsal: boolean): void {
  if (streams === undefined) return;
  for (const { _writableState: state } of streams) {
    // Not by `writableLength`, which a child may have to compile.
    if (state !== undefined && state.length !== 0 && !isRehearsal) forget(state);
  }
}

/** Child: of a stream that it gives up or keeps. Whoever waits there for the end of what it has written waits for ever. */
export function forgetWrites({ _writableState: state }: Stream): void {
  if (state === undefined) return;
  if (state.length !== 0) forget(state);
  const onFinished = hidden(state, 'kOnFinishedValue') as unknown[] | undefined;
  onFinished?.splice(0);
}

function forget(state: WritableState): void {
  for (const entry of state.getBuffer()) {
    state.length -= entry.chunk.length;
    Object.assign(entry, { chunk: Buffer.alloc(0), encoding: 'buffer', callback: ignore });
  }
  state.writecb = ignore;
}

/**
 * What stdout and stderr are when they are files: there is no handle then. To ask `process` for one is to make it, which in a
 * parent changes nothing, and in a child takes time.
 */
function fileStreams(found: number): Stream[] {
  const streams: object[] = [];
  if ((found & stdoutFile) !== 0) streams.push(process.stdout);
  if ((found & stderrFile) !== 0) streams.push(process.stderr);
  return streams.filter((stream) => stream.constructor.name === 'SyncWriteStream');
}

function ignore(): void {
  // Nobody is told.
}

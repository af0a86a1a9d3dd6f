/** Who hears of the end of which child. */
import type { NativeChildWatches } from './native-exec';
import { parentsWaits } from './parents-waits';

/** Milliseconds between two looks at a child whose end is known and that cannot be reaped: a debugger has it. */
const heldBack = 50;

export interface WatchedChild {
  /** Called when it may have ended, as often as that may be so: whether it has. */
  look(): boolean;
  /** Called in a child of fork(), whose child it is not. */
  forget(): void;
}

/** By the watch's id. */
const watched = new Map<number, WatchedChild>();
let isListening = false;

function forgetAll(): void {
  for (const child of watched.values()) child.forget();
}

/** Before a child is started: what ends with nobody listening, since no more could be done for it, is reaped. */
export function listenToChildren(watches: NativeChildWatches): void {
  if (isListening) return;
  isListening = true;
  watches.onEnd((watch) => {
    const child = watched.get(watch);
    if (child === undefined) {
      if (watches.reap(watch) !== null) watches.end(watch);
    } else if (!child.look()) {
      listenLater(watches, watch);
    }
  });
}

export function watchChild(watch: number, child: WatchedChild, hasPidfd: boolean): void {
  watched.set(watch, child);
  parentsWaits.add(forgetAll);
  // Its SIGCHLD may have come before. Once the event loop has looked at all else: what the child has written comes before its end.
  if (!hasPidfd) setImmediate(() => setImmediate(() => child.look()));
}

/** Those of this thread. */
export function watchedChildren(): Iterable<WatchedChild> {
  return watched.values();
}

/** A child that has ended and cannot be reaped: the event loop would tell of it again and again. */
function listenLater(watches: NativeChildWatches, watch: number): void {
  watches.listen(watch, false);
  const again = (): void => {
    if (watched.has(watch)) watches.listen(watch, true);
  };
  setTimeout(again, heldBack).unref();
}

/** The watch is ended with it. */
export function forgetChild(watches: NativeChildWatches, watch: number): void {
  watched.delete(watch);
  watches.end(watch);
}

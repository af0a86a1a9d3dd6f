/** Who hears of the end of which child. */
import type { NativeChildWatches } from './native-exec';

/** Milliseconds between two looks at a child whose end is known and that cannot be reaped: a debugger has it. */
const heldBack = 50;

/** By the watch's id. */
const listeners = new Map<number, () => void>();
let isListening = false;

/** Before a child is started: what ends with nobody listening, since no more could be done for it, is reaped. */
export function listenToChildren(watches: NativeChildWatches): void {
  if (isListening) return;
  isListening = true;
  watches.onEnd((watch) => {
    const look = listeners.get(watch);
    if (look !== undefined) look();
    else if (watches.reap(watch) !== null) watches.end(watch);
  });
}

/** `look` is called when the child may have ended, as often as that may be so. */
export function listenToChild(watch: number, look: () => void): void {
  listeners.set(watch, look);
}

/** A child that has ended and cannot be reaped: the event loop would tell of it again and again. */
export function listenLater(watches: NativeChildWatches, watch: number): void {
  watches.listen(watch, false);
  const again = (): void => {
    if (listeners.has(watch)) watches.listen(watch, true);
  };
  setTimeout(again, heldBack).unref();
}

/** The watch is ended with it. */
export function forgetChild(watches: NativeChildWatches, watch: number): void {
  listeners.delete(watch);
  watches.end(watch);
}

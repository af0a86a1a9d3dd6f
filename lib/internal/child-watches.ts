/** Who hears of the end of which child. */
import type { NativeChildWatches } from './native-exec';

/** By the watch's id. */
const listeners = new Map<number, () => void>();
let isListening = false;

/** `look` is called when the child may have ended, as often as that may be so. */
export function listenToChild(watches: NativeChildWatches, watch: number, look: () => void): void {
  if (!isListening) {
    watches.onEnd((id) => listeners.get(id)?.());
    isListening = true;
  }
  listeners.set(watch, look);
}

/** The watch is ended with it. */
export function forgetChild(watches: NativeChildWatches, watch: number): void {
  listeners.delete(watch);
  watches.end(watch);
}

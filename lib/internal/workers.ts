/**
 * The main thread's own Workers, so that a forked child can end them.
 *
 * Node offers no list. Its diagnostics channel `worker_threads` names each Worker in the middle of its construction, just
 * after its thread was started: that also tells the native side which start routine is a Worker's.
 */
import * as diagnosticsChannel from 'node:diagnostics_channel';
import type { Worker } from 'node:worker_threads';

/** Weak: a Worker that ended may be collected. */
let known: WeakRef<Worker>[] = [];

/** Calls `onStart` for each Worker that this thread starts from now on. */
export function watchWorkers(onStart: () => void): void {
  diagnosticsChannel.subscribe('worker_threads', (message) => {
    onStart();
    known = known.filter((reference) => isLive(reference.deref()));
    known.push(new WeakRef((message as { worker: Worker }).worker));
  });
}

/** Those whose 'exit' has not been emitted. */
export function liveWorkers(): Worker[] {
  return known.map((reference) => reference.deref()).filter(isLive);
}

/** Node sets `threadId` to -1 when a Worker has ended. */
function isLive(worker: Worker | undefined): worker is Worker {
  return worker !== undefined && worker.threadId !== -1;
}

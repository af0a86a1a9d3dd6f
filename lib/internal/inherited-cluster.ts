/**
 * node:cluster in a child of the primary: the workers are its parent's, and it has no channel to them. So it must not accept
 * connections to be handed to them.
 */
import type * as clusterModule from 'node:cluster';

import { hasLoaded } from './loaded-modules';
import type { Emitter } from './silence';

/** Child: gives up the sockets that its parent listens on for its workers. Nobody hears of it. */
export function leaveCluster(): void {
  if (!hasLoaded('internal/cluster/primary')) return;
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- it is loaded
  const cluster = require('node:cluster') as clusterModule.Cluster;
  const { workers = {} } = cluster;
  for (const [id, worker] of Object.entries(workers)) {
    if (worker === undefined) continue;
    quietly([cluster, worker], () => {
      // What Node does when a worker's channel ends (lib/internal/cluster/primary.js): its listener is not to be had otherwise.
      for (const listener of worker.process.listeners('disconnect')) {
        if (String(listener).includes('removeHandlesForWorker(worker)')) (listener as () => void)();
      }
    });
    Reflect.deleteProperty(workers, id);
  }
}

/** Calls `fn`, during which these emit nothing. */
function quietly(emitters: Emitter[], fn: () => void): void {
  const before = emitters.map((each) => Object.getOwnPropertyDescriptor(each, 'emit'));
  for (const each of emitters)
    Object.defineProperty(each, 'emit', { value: () => false, writable: true, configurable: true });
  try {
    fn();
  } finally {
    emitters.forEach((each, index) => {
      const own = before[index];
      if (own === undefined) Reflect.deleteProperty(each, 'emit');
      else Object.defineProperty(each, 'emit', own);
    });
  }
}

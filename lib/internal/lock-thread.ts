/** This thread, as the locks know it. */
import { isMainThread, threadId } from 'node:worker_threads';
import * as workerThreads from 'node:worker_threads';

import { type Words, nobody, wordsOf } from './lock-words';
import type { NativeLock } from './native-lock';

let identity: Words | undefined;

/** Its token and generation: the addon's own memory, so that the generation is right after a fork, too. */
export function threadIdentity(native: NativeLock): Words {
  if (identity !== undefined) return identity;
  native.nameThread(threadId, threadLabel());
  identity = native.identity === null ? nobody : wordsOf(native.identity);
  return identity;
}

function threadLabel(): string {
  if (isMainThread) return 'main thread';
  // Since Node 22.20 and 24.6; the rest call every Worker the same.
  const { threadName } = workerThreads as { threadName?: string | null };
  return threadName === undefined || threadName === null || threadName === '' || threadName === 'WorkerThread'
    ? `worker ${String(threadId)}`
    : threadName;
}

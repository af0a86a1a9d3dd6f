/**
 * A Worker: from the word to begin on it reads one file, again and again, under the lock. Nobody hands it the lock: it
 * is one for the whole process.
 *
 * Its first message is the id of its thread, by which `globalLock.owner` names it.
 */
import { readlinkSync } from 'node:fs';
import path from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';

import { globalLock } from 'atfork';

import { checkSum, readDoubles } from './doubles.mjs';

const { file, times, reads, released } = workerData;

parentPort.once('message', () => {
  for (let i = 0; i < times; ++i) {
    const guard = globalLock.acquire({ timeout: 30_000 });
    const values = readDoubles(file.path);
    Atomics.store(released, 0, process.hrtime.bigint());
    guard.release();
    checkSum(values, file.sum);
    Atomics.add(reads, 0, 1);
  }
});
parentPort.postMessage(Number(path.basename(readlinkSync('/proc/thread-self'))));

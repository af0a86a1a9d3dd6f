/** What a forked child does. It goes on from fork() on the parent's heap: all that is imported here is loaded already. */
import { writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { globalLock } from 'atfork';

import { checkSum, readDoubles } from './doubles.mjs';

// As `node --expose-gc` would, so that the example needs no option.
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

/**
 * Takes the lock, reads the file, checks its sum, and has V8 collect its whole heap: the threads that help with that
 * were threads of the parent. Writes what there is to tell (milliseconds) into the file `report`.
 *
 * @param {{ path: string, sum: number }} file
 * @param {string} report
 * @param {bigint} called when fork() was called
 * @param {bigint} released when a Worker last released the lock: in this child's memory, which is that of the fork
 *   itself, it is the release that fork() waited for
 */
export function readInChild(file, report, called, released) {
  const began = process.hrtime.bigint();
  const guard = globalLock.acquire({ timeout: 5000 });
  const acquired = process.hrtime.bigint();
  const values = readDoubles(file.path);
  guard.release();
  checkSum(values, file.sum);
  collectGarbage();
  const waits = { fork: milliseconds(called, released), child: milliseconds(began, acquired) };
  writeFileSync(report, JSON.stringify(waits));
}

/** Between two of process.hrtime.bigint, which counts alike in all threads; 0 when they are the other way round. */
export function milliseconds(from, to) {
  return Math.max(0, Number(to - from) / 1e6);
}

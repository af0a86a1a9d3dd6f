/**
 * The scenario of h5py's issue 2584: Workers read HDF5 files under one lock, and the main thread forks meanwhile. Each
 * child takes the lock, reads a file and exits. Beside each, how the child of a plain fork(2) of this process ends.
 *
 *   node examples/h5-phil/main.mjs [--files 10] [--rows 1000] [--times 100] [--lock-timeout 5000]
 *
 * There are as many Workers and children as files; each Worker reads its file `times` times. Exits with 0 if every
 * Worker and every child of fork() has done its work.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { globalLock } from 'atfork';

import { writeDoubles } from './doubles.mjs';
import { forkPlainly, forkReader, good } from './forks.mjs';
import { Readers } from './readers.mjs';
import { explanation, tableOf, tally } from './table.mjs';

const option = (value) => ({ type: 'string', default: String(value) });
const { values: options } = parseArgs({
  options: { files: option(10), rows: option(1000), times: option(100), 'lock-timeout': option(5000) },
});
const count = Number(options.files);
const rows = Number(options.rows);
const times = Number(options.times);
const lockTimeout = Number(options['lock-timeout']);

/** Milliseconds from this process's start to the last Worker's end; the children have a bound of their own. */
const bound = 45_000;

const folder = mkdtempSync(path.join(tmpdir(), 'h5-phil-'));
const forks = [];
let readers;
try {
  const files = Array.from({ length: count }, (_, n) => writeFile(n));
  console.log(`${count} HDF5 files of ${rows} x ${rows} doubles, in ${folder}`);
  readers = new Readers(files, times);
  await until(() => readers.ready);

  console.log(`${count} Workers, each reading one of them ${times} times under globalLock`);
  const begin = performance.now();
  readers.begin();
  for (const [n, file] of files.entries()) {
    // Spread over the time that the Workers need, each while one of them holds the lock.
    await until(() => readers.progress >= n / count);
    let holder;
    await until(() => (holder = readers.holder) !== undefined || readers.ended);
    forks.push(forkBoth(file, holder));
  }
  await until(() => readers.ended);
  const seconds = (performance.now() - begin) / 1000;
  report(await Promise.all(forks), seconds);
} finally {
  // No child is left: each wait for one is bounded, and ends it.
  await Promise.allSettled(forks);
  await readers?.terminate();
  rmSync(folder, { recursive: true });
}

function writeFile(n) {
  const file = path.join(folder, `${n}.h5`);
  return { path: file, sum: writeDoubles(file, n, rows) };
}

/** Forks in both ways, one after the other; resolves with a row of the table when both children have ended. */
function forkBoth(file, holder) {
  const ends = Promise.all([forkReader(file, readers.released, lockTimeout), forkPlainly()]);
  const row = ends.then(([ours, plain]) => ({ holder, ...ours, plain }));
  row.catch(() => {}); // it is awaited later
  return row;
}

function report(results, seconds) {
  const ends = results.map(({ end }) => end);
  console.log(`while this process forked, in both ways:\n\n${tableOf(results)}\n`);
  console.log(`fork():         ${tally(ends)}`);
  console.log(`plain fork(2):  ${tally(results.map(({ plain }) => plain))}`);
  console.log(`Workers:        ${Math.round(readers.progress * count * times)} reads in ${seconds.toFixed(1)} s`);
  console.log(explanation);

  // The parent has to be as sound as its children: all was read, and nobody left the lock behind.
  const guard = globalLock.tryAcquire();
  guard?.release();
  const well = ends.every((end) => end === good) && readers.progress === 1 && guard !== null;
  console.log(well ? 'All is well.' : 'NOT all is well.');
  process.exitCode = well ? 0 : 1;
}

/** Lets the event loop go on until the condition holds. @throws what made a Worker fail; Error past the bound */
async function until(condition) {
  while (!condition()) {
    if (readers.failure !== null) throw readers.failure;
    if (performance.now() > bound) throw new Error(`the Workers were not done within ${bound / 1000} s`);
    await sleep(1);
  }
}

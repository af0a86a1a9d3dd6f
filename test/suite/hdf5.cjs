/**
 * h5py's case itself, on the HDF5 library: Workers and threads of an addon (examples/hdf5) read files under one lock while
 * the main thread forks, and the children read, too. Arguments: what the lock is, see there; how many forks; how many
 * between two lines of progress. Under "alone", of which atfork knows nothing, a child has to hang, and that is the end.
 */
const assert = require('node:assert/strict');
const { once } = require('node:events');
const { mkdtempSync, readdirSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');
const { Worker, isMainThread, workerData } = require('node:worker_threads');
const { _exit, fork, globalLock, waitpid } = require('../..');
const hdf5 = require('../../examples/hdf5/build/Release/hdf5.node');

const rows = 64;
const columns = 256;
const files = 4;
/** Milliseconds after which a child is taken for hung that nobody expected to hang, and one that has to. */
const bound = 30_000;
const boundOfHang = 2_000;

/** A transaction: several calls, and the JavaScript between them, under one hold of the lock. */
function checkFile(file, from) {
  hdf5.acquire();
  try {
    const dataset = hdf5.open(file);
    for (let row = from; row < rows; row += 7) assert.equal(hdf5.sumOfRow(row, dataset), row * columns);
    hdf5.close(dataset);
  } finally {
    hdf5.release();
  }
}

function read({ file, words }) {
  for (let round = 0; Atomics.load(words, 0) === 0; ++round) {
    checkFile(file, round % rows);
    Atomics.add(words, 1, 1);
  }
}

/** In the child: with fork() it has a lock that nobody holds, and a library that nobody is at work in. */
function readInChild(names) {
  for (const name of names) checkFile(name, 0);
  const own = `${names[0]}.${String(process.pid)}`;
  hdf5.acquire();
  hdf5.write(own, 4, 8);
  hdf5.release();
  rmSync(own);
}

/** @returns whether the child ended, with 0 */
function forkOnce(names, atMost) {
  const pid = fork({ onMultiThreaded: 'ignore', lockTimeout: bound });
  if (pid === 0) {
    try {
      readInChild(names);
      _exit(0);
    } catch (error) {
      console.error('in the child:', error);
      _exit(1);
    }
  }
  const status = waitpid(pid, { timeout: atMost });
  if (status === null) {
    process.kill(pid, 'SIGKILL');
    waitpid(pid);
    return false;
  }
  assert.deepEqual(status, { exitCode: 0, signalCode: null, coreDumped: false });
  return true;
}

async function main(how, forks, forksPerLine) {
  const folder = mkdtempSync(path.join(tmpdir(), 'atfork-hdf5-'));
  const owner = process.pid;
  process.on('exit', () => {
    if (process.pid === owner) rmSync(folder, { recursive: true });
  });
  hdf5.guard(how);
  const names = Array.from({ length: files }, (_, index) => path.join(folder, `${String(index)}.h5`));
  hdf5.acquire();
  for (const name of names) hdf5.write(name, rows, columns);
  hdf5.release();

  const words = new Int32Array(new SharedArrayBuffer(8));
  // A Worker that waits for a mutex of which nobody has told the package cannot be stopped, and fork() is refused.
  const readers = how === 'alone' ? [] : names.slice(1);
  const workers = readers.map((file) => new Worker(__filename, { workerData: { file, words } }));
  const exits = workers.map((worker) => once(worker, 'exit'));
  hdf5.startThreads(names[0], 2);
  const fds = readdirSync('/proc/self/fd').length;
  let ended = 0;
  while (ended < forks && forkOnce(names, how === 'alone' ? boundOfHang : bound)) {
    if (++ended % forksPerLine === 0) console.log(`${String(ended)} forks, ${String(words[1])} reads of Workers`);
    // The Workers and the threads go on meanwhile: only the main thread waits for its children.
    await new Promise(setImmediate);
  }
  Atomics.store(words, 0, 1);
  assert.deepEqual(
    (await Promise.all(exits)).flat(),
    readers.map(() => 0),
  );
  const ofThreads = hdf5.stopThreads();
  assert.ok((words[1] > 0 || readers.length === 0) && ofThreads > 0);
  assert.ok(readdirSync('/proc/self/fd').length <= fds, 'descriptors were left');
  assert.equal(globalLock.locked || globalLock.isOrphaned, false);
  if (how === 'alone') {
    assert.ok(ended < forks, `none of ${String(forks)} children waits for a thread that it has not got`);
    console.log(`child ${String(ended + 1)} hung, as it had to`);
  } else {
    assert.equal(ended, forks, `child ${String(ended + 1)} hung`);
    console.log(
      `at the end: ${String(ended)} forks, ${String(words[1])} reads of Workers, ${String(ofThreads)} of threads`,
    );
  }
  console.log('done');
}

if (isMainThread) {
  const [how, forks, forksPerLine] = process.argv.slice(2);
  void main(how, Number(forks), Number(forksPerLine ?? forks));
} else {
  read(workerData);
}

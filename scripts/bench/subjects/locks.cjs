'use strict';
/** A process that takes and releases locks, alone and among Workers. */
const { once } = require('node:events');
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');

const { atfork, benchAddon, nowUs, serve, settle, timed } = require('../lib/subject.cjs');

const { SharedLock, globalLock } = atfork();

/** What is done under a lock that is contended: so many increments, some hundred nanoseconds in C. */
const steps = 256;
const pairs = 1e6;

/** The least that taking and giving back can be in JavaScript. */
function barePairs() {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  return timed(() => {
    for (let i = 0; i < pairs; ++i) {
      if (Atomics.compareExchange(cell, 0, 0, 1) !== 0) throw new Error('somebody else was here');
      Atomics.store(cell, 0, 0);
    }
  });
}

function lockPairs(lock) {
  return timed(() => {
    for (let i = 0; i < pairs; ++i) {
      lock.acquire();
      lock.release();
    }
  });
}

function guardPairs(lock) {
  return timed(() => {
    for (let i = 0; i < pairs; ++i) lock.acquire().release();
  });
}

function contend(cells, deadline) {
  let rounds = 0;
  do {
    for (let i = 0; i < 256; ++i, ++rounds) {
      globalLock.acquire();
      for (let step = 0; step < steps; ++step) ++cells[step & 7];
      globalLock.release();
    }
  } while (nowUs() < deadline);
  return rounds;
}

const workers = [];
let shared;

async function startWorkers(count) {
  const cells = new Int32Array(new SharedArrayBuffer(32));
  while (workers.length < count) {
    const worker = new Worker(__filename, { workerData: cells });
    await once(worker, 'message');
    workers.push(worker);
  }
}

if (isMainThread) {
  serve({
    settle,
    pairs: () => ({ bare: barePairs(), lock: lockPairs(globalLock), guard: guardPairs(globalLock) }),
    sharedPairs: () => {
      shared ??= SharedLock.create();
      return { pthread: benchAddon().robustPairs(pairs), lock: lockPairs(shared), guard: guardPairs(shared) };
    },
    nativePairs: () => ({ pthread: benchAddon().recursivePairs(pairs), api: benchAddon().apiPairs(pairs) }),

    /** @returns the rounds of each of `count` Workers within `us`, and of as many threads with a pthread mutex */
    async contest(count, us) {
      await startWorkers(count);
      const deadline = nowUs() + us;
      const answers = workers.slice(0, count).map(async (worker) => {
        worker.postMessage(deadline);
        const [rounds] = await once(worker, 'message');
        return rounds;
      });
      const ours = await Promise.all(answers);
      return { ours, pthread: benchAddon().contend(count, us, steps) };
    },

    async leave() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  });
} else {
  parentPort.on('message', (deadline) => parentPort.postMessage(contend(workerData, deadline)));
  parentPort.postMessage('ready');
}

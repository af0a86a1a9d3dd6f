'use strict';
/**
 * A process that starts others, one at each command, so that several of its kind can do so in turns.
 * Arguments: `atfork`, `locks`, `script` or `plain`: the package is loaded, with 100 named locks, only its JavaScript, or
 * nothing; megabytes of JavaScript heap.
 */
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { Worker } = require('node:worker_threads');

const {
  atfork,
  atforkWithoutAddon,
  benchAddon,
  fillHeap,
  serve,
  settle,
  timed,
  timedFork,
} = require('../lib/subject.cjs');

const libraries = { atfork, locks: atforkWithLocks, script: atforkWithoutAddon, plain: () => null };
const library = libraries[process.argv[2]]();
const heap = fillHeap(Number(process.argv[3]));
const bench = benchAddon();

serve({
  async settle() {
    await settle();
    return heap.length;
  },

  /** Microseconds that child_process.spawn blocks the event loop. */
  async spawn() {
    let child;
    const us = timed(() => {
      child = spawn('/bin/true', [], { stdio: 'ignore' });
    });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`/bin/true: ${code}`);
    return us;
  },

  /** Microseconds that fork(3), called from C, takes longer than _Fork(3), which runs no handlers: until it returns. */
  handlersInParent: () => handlers('parent'),
  handlersInChild: () => handlers('child'),

  /** A Worker takes the global lock and keeps it, until this process ends. */
  async holdLock() {
    const file = JSON.stringify(require.resolve('../../..'));
    const worker = new Worker(`require(${file}).globalLock.acquire(); setInterval(() => {}, 1e6)`, { eval: true });
    worker.unref();
    while (library.globalLock.owner === null) await settle();
  },

  /** `count` children of the library's. */
  fork(count) {
    for (let index = 0; index < count; ++index) timedFork(library);
  },

  /** Has such forks copy them too from here on: what it would cost if the library did not put the marks back. */
  includeMarked() {
    bench.readMarks();
    bench.includeMarked();
  },
});

function atforkWithLocks() {
  const all = atfork();
  for (let index = 0; index < 100; ++index) all.namedLock(`lock ${index}`).acquire().release();
  return all;
}

function handlers(side) {
  bench.rawFork(); // the first after a pause is slower than the next
  const without = bench.rawFork();
  return bench.libcFork()[side] - without[side];
}

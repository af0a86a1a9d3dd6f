'use strict';
/** The inside of a process that is measured: takes commands from lib/subjects.mjs, and what several subjects need. */
const path = require('node:path');
const { createInterface } = require('node:readline');
const { setTimeout: delay } = require('node:timers/promises');
const v8 = require('node:v8');

const root = path.join(__dirname, '..', '..', '..');

/** Milliseconds to wait for a child that does nothing but leave. */
const childTimeout = 60_000;

/** Milliseconds until a young process has done what it puts off: lazy compilation, its first collections. */
const settleTime = 300;

/**
 * Answers each command with what the function of that name returns. An error ends the process; so does the end of
 * stdin, once nothing is left to do.
 */
function serve(commands) {
  createInterface({ input: process.stdin }).on('line', async (line) => {
    const [name, ...parameters] = JSON.parse(line);
    const answer = await commands[name](...parameters);
    process.stdout.write(`${JSON.stringify(answer ?? null)}\n`);
  });
}

/** The addon of the benchmarks (scripts/bench/native). */
function benchAddon() {
  return require(path.join(root, 'build', 'Release', 'bench.node'));
}

/** The package under test. Only who calls this has loaded it. */
function atfork() {
  return require(root);
}

/** The package's JavaScript alone: its addon is an object that does nothing. */
function atforkWithoutAddon() {
  const { _extensions: loaders } = require('node:module');
  const loadAddon = loaders['.node'];
  loaders['.node'] = (module) => {
    module.exports = new Proxy({}, { get: () => () => null });
  };
  try {
    return require(root);
  } finally {
    loaders['.node'] = loadAddon;
  }
}

function nowUs() {
  return Number(process.hrtime.bigint()) / 1e3;
}

function timed(body) {
  const start = nowUs();
  body();
  return nowUs() - start;
}

/** The time in `fork()`, as the parent sees it. The child leaves at once. */
function timedFork({ fork, waitpid, _exit }) {
  let pid;
  const us = timed(() => {
    pid = fork();
    if (pid === 0) _exit(0);
  });
  reap(waitpid, pid);
  return us;
}

function reap(waitpid, pid) {
  const status = waitpid(pid, { timeout: childTimeout });
  if (status?.exitCode !== 0) throw new Error(`the child ended with ${JSON.stringify(status)}`);
}

function settle() {
  return delay(settleTime);
}

/** Lists of small objects until the JavaScript heap has `megabytes`; each list is about a megabyte. */
function fillHeap(megabytes) {
  const lists = [];
  while (v8.getHeapStatistics().used_heap_size < megabytes * 2 ** 20) lists.push(smallObjects());
  return lists;
}

function smallObjects() {
  return Array.from({ length: 10_000 }, (_, index) => ({ index, pair: { half: index / 2 } }));
}

module.exports = {
  atfork,
  atforkWithoutAddon,
  benchAddon,
  fillHeap,
  nowUs,
  reap,
  serve,
  settle,
  smallObjects,
  timed,
  timedFork,
};

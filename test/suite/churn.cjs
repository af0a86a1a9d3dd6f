/**
 * Many forks of a process that does everything at once: its Workers, libuv's pool, the garbage collector and the compilers
 * are at work, and several children at a time do the same kinds of things and leave in every way.
 * Arguments: the case; how many forks; to report progress on stderr, after how many of them each.
 *
 * A child that ends badly does not stop the run, unless there are many; with progress it is told at once, else at the end.
 */
const { deepEqual, equal } = require('node:assert/strict');
const crypto = require('node:crypto');
const dns = require('node:dns');
const { once } = require('node:events');
const fs = require('node:fs');
const { setTimeout: pause } = require('node:timers/promises');
const { isDeepStrictEqual, promisify } = require('node:util');
const vm = require('node:vm');
const { Worker } = require('node:worker_threads');
const zlib = require('node:zlib');
const { _exit } = require('../..');
const { ActiveWorker, doOnce } = require('../fixtures/worker-activities.cjs');
const { nativeBinding } = require('../../dist/binding.js');
const { foreign } = require('../helpers/foreign.cjs');
const { end, exited, start } = require('../helpers/forked.cjs');
const { runCase } = require('./case.cjs');

const { lastForkTimings } = nativeBinding();

const hash = promisify(crypto.pbkdf2);

/** Children that live at the same time. */
const together = 4;

/** Milliseconds that a Worker rests after each round. Without it they would do so much that few forks were done. */
const rest = 5;

/** Milliseconds: a fork that takes longer is told with its parts. */
const slow = 2000;

/** From so many bad children on it is known that something is wrong. */
const tooMany = 20;

/** Of all calls of fork(), so many may be refused with ERR_ATFORK_QUIESCE_TIMEOUT, on a machine as busy as this one. */
const mostRefused = 0.001;

const busy = [
  ...['crypto', 'cryptoAsync', 'environment', 'wasm', 'require', 'regexps', 'postMessage', 'garbage', 'files'],
  ...['compression', 'timers'],
];
const childActivities = [...busy, 'atomicsWait', 'spawnSync', 'nestedComings'];

/** After whatever a child has done, it leaves in the one way as often as in the other. */
const leaveOf = (number) => (Math.floor(number / childActivities.length) % 2 === 0 ? 'naturally' : 'exit');

/** Every Worker is ended in every child: more of them make fewer forks. */
const workerActivities = [busy, [...busy.slice(4), ...busy.slice(0, 4)], busy.toReversed(), ['atomicsWait'], ['idle']];

/** What libuv's pool is kept busy with: each is done again and again. */
const poolWork = [
  () => hash('a', 'b', 2000, 32, 'sha1'),
  () => fs.promises.readFile(__filename),
  () => promisify(zlib.deflate)(Buffer.alloc(50_000, 'text')),
  () => fs.promises.stat('/'),
  () => promisify(dns.lookup)('localhost'),
];

/**
 * By the name of the case: who else is at work, and the kinds of the threads that the child loses. The warning has to name
 * them at every fork, and nobody else. A thread that resolves a name may wait in a system call, and is then one of them.
 */
const modes = {
  forks: {
    activities: workerActivities,
    work: poolWork,
    lost: workerActivities.map(() => 'js-worker'),
    maybe: ['libuv-pool'],
  },
  alone: { activities: [], work: poolWork.slice(0, -1), lost: [], maybe: [] },
  addon: { activities: [], work: poolWork.slice(0, -1), lost: ['foreign', 'foreign'], maybe: [] },
};

const garbage = (count) => Array.from({ length: count }, (_, i) => ({ i, text: `garbage ${i}` }));

/** A function that no compiler has seen yet, called until the optimizing ones take it. */
function compileSome(number) {
  const fresh = new Function(
    'a',
    'b',
    `let sum = ${number}; for (let i = 0; i < a; ++i) sum = (sum * b + i) | 0; return sum`,
  );
  for (let i = 0; i < 300; ++i) fresh(100, i);
}

/** What a child does before it leaves. */
async function live(number) {
  const some = garbage(10_000);
  if (number % 3 === 0) gc();
  equal(some[777].i, 777);
  compileSome(number);
  await Promise.all([doOnce(childActivities[number % childActivities.length]), poolWork[number % poolWork.length]()]);
  if (number % 10 === 7) _exit(0);
}

/** The process that forks, and all that is at work in it. */
class Churn {
  #pid = process.pid;
  #workers;
  #data = garbage(50_000);
  #stopped = false;
  #pool;
  #passing = new Set();

  constructor({ activities, work }) {
    this.#workers = activities.map((names) => new ActiveWorker(names, rest));
    this.#pool = work.map((each) => this.#repeat(each));
  }

  async #repeat(work) {
    while (!this.#stopped && process.pid === this.#pid) {
      await work();
      await pause(3);
    }
  }

  /** Garbage, old and young, functions that are new, and a Worker that comes and goes. */
  stir(number) {
    for (let k = 0; k < 10_000; ++k) this.#data[(number * 7919 + k) % this.#data.length] = { k };
    compileSome(number);
    if (number % 10 === 9 && this.#workers.length > 0) {
      const worker = new Worker('', { eval: true });
      this.#passing.add(worker);
      worker.once('exit', () => this.#passing.delete(worker));
    }
  }

  /** Everybody is still at it. */
  async goesOn() {
    await Promise.all(this.#workers.map((worker) => worker.goesOn()));
  }

  async stop() {
    this.#stopped = true;
    await Promise.all(this.#pool);
    await Promise.all(this.#workers.map((worker) => worker.stop()));
    await Promise.all([...this.#passing].map((worker) => once(worker, 'exit')));
  }
}

/** The warnings of this process's forks, each of which is called from another place. */
class Warnings {
  #pid = process.pid;
  #lost;
  #maybe;
  #heard = [];
  #places = 0;
  wrong = [];

  constructor({ lost, maybe }) {
    this.#lost = lost;
    this.#maybe = maybe;
    process.removeAllListeners('warning');
    process.on('warning', (warning) => {
      if (process.pid !== this.#pid) throw warning; // that of its parent's, and it has none of its own
      this.#heard.push(warning);
    });
  }

  /** Calls fork() from a place that it has not been called from: the same threads are named once for each place. */
  place() {
    return vm.runInThisContext('(fork, options) => fork(options)', { filename: `place ${++this.#places}` });
  }

  /** Takes those of one fork, which has been done: a warning comes a tick later. */
  async look(number) {
    await new Promise(setImmediate);
    const named = this.#heard.flatMap(({ detail }) => [...detail.matchAll(/([\w-]+) "/g)].map(([, kind]) => kind));
    const count = this.#heard.length;
    this.#heard = [];
    // Of Workers there may be more, which come and go.
    const lost = named.filter((kind) => this.#lost.includes(kind));
    const others = named.filter((kind) => !this.#lost.includes(kind) && !this.#maybe.includes(kind));
    if (count === Math.sign(this.#lost.length) && lost.length >= this.#lost.length && others.length === 0) return;
    this.wrong.push(`fork ${number}: ${count} warnings, of ${named.join(', ')}`);
  }
}

/** The children, and what has become of them. */
class Children {
  bad = [];
  refused = [];
  forked = 0;
  warnings;
  #tell;
  #alive = new Set();
  #times = [];

  /** @param {(text: string) => void} tell is called with each complaint at once */
  constructor(warnings, tell) {
    this.warnings = warnings;
    this.#tell = tell;
  }

  /** Unless fork() refuses, which is noted. */
  async fork(number) {
    const begin = performance.now();
    let pid;
    try {
      const options = { leave: leaveOf(number), from: this.warnings.place(), onMultiThreaded: 'warn' };
      pid = await start(() => live(number), options);
    } catch (error) {
      if (error.code !== 'ERR_ATFORK_QUIESCE_TIMEOUT') throw error;
      this.refused.push(`fork ${number}: ${error.message}`);
      return this.#tell(this.refused.at(-1));
    }
    ++this.forked;
    const took = performance.now() - begin;
    this.#times.push(took);
    if (took > slow) this.#tell(`fork ${number} took ${took} ms: ${JSON.stringify(lastForkTimings())}`);
    await this.warnings.look(number);
    const child = this.#see(number, pid).finally(() => this.#alive.delete(child));
    this.#alive.add(child);
  }

  async #see(number, pid) {
    const complain = (text) => {
      this.bad.push(`child ${number}, pid ${pid}, after ${childActivities[number % childActivities.length]}: ${text}`);
      this.#tell(this.bad.at(-1));
    };
    try {
      const status = await end(pid);
      if (!isDeepStrictEqual(status, exited(0))) complain(JSON.stringify(status));
    } catch (error) {
      complain(error.message);
    }
  }

  async atMost(count) {
    while (this.#alive.size > count) await Promise.race(this.#alive);
  }

  /** Of the parent's time in fork(). */
  times() {
    const sorted = this.#times.toSorted((a, b) => a - b);
    const at = (share) => `${sorted[Math.floor((sorted.length - 1) * share)].toFixed(1)} ms`;
    return `fork() took ${at(0.5)} (p99 ${at(0.99)}, worst ${at(1)})`;
  }

  summary() {
    const counts = `${this.bad.length} bad children, ${this.refused.length} refused`;
    return `${this.forked} forks, ${counts}, ${this.warnings.wrong.length} wrong warnings; ${this.times()}`;
  }
}

/** @param {number} [progress] reports on stderr, after so many forks each */
async function churn(mode, warnings, count, progress) {
  const churning = new Churn(mode);
  const children = new Children(warnings, progress === undefined ? () => {} : console.error);
  await churning.goesOn();
  while (children.forked < count && children.bad.length < tooMany && children.refused.length < tooMany) {
    const number = children.forked + children.refused.length;
    churning.stir(number);
    await children.fork(number);
    await children.atMost(together - 1);
    if (children.forked % progress === 0) console.error(children.summary());
  }
  await children.atMost(0);
  await churning.goesOn();
  await churning.stop();
  return children;
}

async function run(mode, argument, progress) {
  const count = Number(argument);
  const { fdDifference, openFds } = await import('../helpers/proc.mjs');
  const warnings = new Warnings(mode);
  await churn(mode, warnings, 1); // whatever is opened at its first use and kept
  const fds = openFds();
  const children = await churn(mode, warnings, count, progress && Number(progress));
  if (progress !== undefined) console.error(`at the end: ${children.summary()}`);
  if (children.bad.length > 0) throw new Error(children.bad.join('\n'));
  if (children.refused.length > Math.max(1, mostRefused * count)) throw new Error(children.refused.join('\n'));
  deepEqual(warnings.wrong, []);
  deepEqual(fdDifference(fds, openFds()), []);
  await Promise.all(childActivities.map(doOnce));
}

void runCase({
  forks: (...args) => run(modes.forks, ...args),

  /** No Worker, no addon: nothing is lost, and nobody warned. */
  alone: (...args) => run(modes.alone, ...args),

  async addon(...args) {
    const { start: startForeign } = foreign();
    startForeign('a) R (b', true, true);
    startForeign('c d', true, false);
    await run(modes.addon, ...args);
  },
});

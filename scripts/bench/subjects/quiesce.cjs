'use strict';
/** A process with a heap of 1 GB that V8's threads are marking whenever it forks. */
const fs = require('node:fs');
const path = require('node:path');

const { atfork, benchAddon, fillHeap, serve, settle, smallObjects, timedFork } = require('../lib/subject.cjs');

const heapMegabytes = 1024;

const library = atfork();
const { nativeBinding } = require(path.join(require.resolve('../../..'), '..', 'binding.js'));
const bench = benchAddon();
const lists = fillHeap(heapMegabytes);
let next = 0;

serve({
  /**
   * Forks `forks` times. Microseconds: what each fork() took as a whole, how long it waited for the runtime's threads,
   * and just before it the round trip to the control thread; and how many threads were running then.
   *
   * A library that does not tell the wait has `raw` instead, a fork without it in the same moment.
   */
  async measure(forks) {
    await settle();
    bench.startControl();
    const { lastForkTimings } = nativeBinding();
    const samples = { fork: [], wait: [], raw: [], control: [], running: [] };
    for (let count = 0; count < forks; ++count) {
      samples.running.push(churnUntilMarked());
      samples.control.push(bench.controlRoundTrip());
      samples.fork.push(timedFork(library));
      if (lastForkTimings === undefined) samples.raw.push(rawFork());
      else samples.wait.push(lastForkTimings().quiesceUs);
    }
    return samples;
  },
});

/** Replaces parts of the heap until V8's threads are at work; returns how many of them are. */
function churnUntilMarked() {
  for (;;) {
    lists[next] = smallObjects();
    next = (next + 1) % lists.length;
    const running = runningThreads();
    if (running > 0) return running;
  }
}

/** Threads of this process, beside the main one, that run or could: proc(5), state R. */
function runningThreads() {
  const others = fs.readdirSync('/proc/self/task').filter((tid) => Number(tid) !== process.pid);
  return others.filter((tid) => / R /.test(statOf(tid))).length;
}

function statOf(tid) {
  const text = fs.readFileSync(`/proc/self/task/${tid}/stat`, 'latin1');
  return text.slice(text.lastIndexOf(')') + 1);
}

function rawFork() {
  bench.readMarks();
  bench.includeMarked();
  const { parent } = bench.rawFork();
  bench.leaveOutMarked();
  return parent;
}

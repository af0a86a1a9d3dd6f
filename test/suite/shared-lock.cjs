/**
 * A lock between processes, whose holders are killed. Arguments: how many are killed; how many between two lines of
 * progress. Children of fork() take the lock in every way there is, add one to a counter that no atomic protects, and
 * give the lock back, as fast as they can. SIGKILL comes at any moment. Each time a survivor has to get on, and at the end
 * the counter may be wrong by one for each that was killed between its two stores.
 */
const assert = require('node:assert/strict');
const { setTimeout: pause } = require('node:timers/promises');
const { SharedLock, _exit, fork, sharedMemory, waitpid } = require('../..');

const children = 3;
/** Milliseconds within which somebody has to get on. */
const bound = 20_000;

/** Words of the shared memory; behind them, for each child, what it is at. */
const counter = 0;
const added = 1;
const deaths = 2;
const phases = 3;

/** What a child is at. `held` is the section itself, between its two stores. */
const names = ['starting', 'acquiring', 'entering', 'held', 'releasing', 'elsewhere'];
const [starting, acquiring, entering, held, releasing, elsewhere] = names.keys();

const words = new Int32Array(sharedMemory(4 * (phases + children)));
const lock = SharedLock.create();

/** Ways to take it; each returns a guard, or null when it was not to be had. */
const ways = [
  () => lock.acquire(),
  () => lock.acquire({ timeout: bound }),
  () => lock.tryAcquire(),
  () => lock.acquireAsync(),
  () => {
    lock.acquire();
    return lock.acquire(); // two deep
  },
];

/** Some microseconds, never the same. */
function dawdle(most) {
  for (let i = Math.random() * most; i > 0; --i) Atomics.load(words, added);
}

async function live(place, round) {
  const at = (phase) => Atomics.store(words, phases + place, phase);
  for (;;) {
    const way = round++ % ways.length;
    at(acquiring);
    const guard = await ways[way]();
    if (guard === null) continue;
    at(entering);
    if (guard.ownerDied) {
      Atomics.add(words, deaths, 1);
      guard.makeConsistent();
    }
    const seen = words[counter];
    at(held);
    dawdle(1000);
    words[counter] = seen + 1;
    Atomics.add(words, added, 1);
    at(releasing);
    guard.release();
    if (way === 4) lock.release();
    at(elsewhere);
    dawdle(300);
    if (round % 256 === 0) await pause(1);
  }
}

/** Returns in the parent alone. */
async function bear(place, round) {
  Atomics.store(words, phases + place, starting);
  const pid = fork({ onMultiThreaded: 'ignore' });
  if (pid !== 0) return pid;
  try {
    return await live(place, round);
  } catch (error) {
    console.error('in the child:', error);
    _exit(1);
  }
}

/** Until the survivors have got on: more is added than was. */
async function untilAdded(more) {
  const before = Atomics.load(words, added);
  const deadline = performance.now() + bound;
  while (Atomics.load(words, added) - before < more) {
    if (performance.now() > deadline) {
      const { pid, tid, depth } = lock.owner ?? {};
      throw new Error(`nobody gets on: held by ${pid}/${tid}, ${depth} deep; orphaned ${lock.isOrphaned}`);
    }
    await pause(1);
  }
}

async function main(kills, killsPerLine) {
  const pids = [];
  for (let place = 0; place < children; ++place) {
    pids.push(await bear(place, place));
  }
  const met = names.map(() => 0);
  try {
    for (let killed = 1; killed <= kills; ++killed) {
      await untilAdded(1);
      dawdle(20_000);
      const place = killed % children;
      process.kill(pids[place], 'SIGKILL');
      assert.equal(waitpid(pids[place], { timeout: bound })?.signalCode, 'SIGKILL');
      ++met[words[phases + place]];
      pids[place] = await bear(place, killed);
      if (killed % killsPerLine === 0) console.log(`${String(killed)} killed, ${String(words[added])} times added`);
    }
    await untilAdded(100);
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    for (const pid of pids) waitpid(pid);
  }
  // One that was killed in the section left it to the next one; the last ones, to this process.
  const guard = lock.acquire({ timeout: bound });
  if (guard.ownerDied) guard.makeConsistent();
  guard.release();
  assert.deepEqual([lock.locked, lock.isOrphaned], [false, false]);
  const off = Math.abs(words[counter] - words[added]);
  const where = names.map((name, phase) => `${name} ${String(met[phase])}`).join(', ');
  console.log(
    `at the end: ${String(kills)} killed (${where}); ${String(words[deaths])} times the owner had died; ` +
      `${String(words[added])} times added, the counter is off by ${String(off)}`,
  );
  assert.ok(off <= kills + children, 'more was lost than one for each that was killed');
  assert.ok(words[deaths] > 0 || kills < 100, 'no holder was met');
  console.log('done');
}

const [kills, killsPerLine] = process.argv.slice(2).map(Number);
void main(kills, killsPerLine ?? kills);

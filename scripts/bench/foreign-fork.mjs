/**
 * What the package costs a fork that is not its own, in a process that has loaded it and in one that has not, which take
 * turns: the whole of child_process.spawn, and of fork(3) from C only what the handlers of all libraries take, which leaves
 * out that a process with more memory forks more slowly. No lock is held. The same with a hundred named locks.
 *
 * The figure is what the addon adds: its handlers, its watchers, its pages. So it is taken against a process that has the
 * package's JavaScript without the addon. What both add to a process without the package, as much of any JavaScript would
 * for the most part, is printed beside it.
 *
 * Two processes differ a little even when they do the same. So each round has fresh ones, and a second one without the
 * package: how that differs from the first is noise.
 *
 * While a Worker holds the lock, the handlers wait for it as long as LockRegistry::kForeignForkWait says, and no longer but
 * for what a timer is late.
 */
import { median, medianDifference, ms, summaryOf } from './lib/stats.mjs';
import { takeTurns } from './lib/subjects.mjs';

const kinds = { loaded: 'atfork', locks: 'locks', plain: 'plain', plainToo: 'plain', script: 'script' };
const commands = ['spawn', 'handlersInParent', 'handlersInChild'];
const rounds = 30;
const must = '<= 5 % or 20 us more';
const mostHeld = 1500;

export async function measure({ start, samples }) {
  const all = Object.fromEntries(commands.map((command) => [command, mapValues(kinds, () => [])]));
  for (let round = 0; round < rounds; ++round) {
    const subjects = mapValues(kinds, (kind) => start('spawner', [kind, '0']));
    for (const subject of Object.values(subjects)) await subject.ask('settle');
    for (const command of commands) {
      await takeTurns(subjects, command, 1);
      const answers = await takeTurns(subjects, command, samples(20));
      for (const name of Object.keys(kinds)) all[command][name].push(...answers[name]);
    }
    for (const subject of Object.values(subjects)) await subject.end();
  }
  const [spawn, inParent, inChild] = commands.map((command) => costsOf(all[command]));
  const withLocks = commands.map((command) => costsOf({ ...all[command], loaded: all[command].locks }));
  const limit = Math.max(0.05 * spawn.base, 20);
  const handlers = inParent.cost + inChild.cost;
  const ofLocks = withLocks[1].cost + withLocks[2].cost;
  const { n } = spawn;
  const held = await whileLockIsHeld(start, samples(200));
  return [
    {
      what: 'child_process.spawn',
      must,
      measured: `${us(spawn.cost)} more (limit ${us(limit)}): ${describe(spawn)}`,
      n,
      ok: spawn.cost <= limit,
      values: spawn,
    },
    {
      what: 'of that, handlers',
      must,
      measured:
        `${us(handlers)} (limit ${us(limit)}): parent ${us(inParent.cost)}, ${describe(inParent)}; ` +
        `child ${us(inChild.cost)}, ${describe(inChild)}`,
      n,
      ok: handlers <= limit,
      values: { inParent, inChild },
    },
    {
      what: 'the same, 100 named locks',
      must,
      measured:
        `${us(ofLocks)} (limit ${us(limit)}): parent ${us(withLocks[1].cost)}, child ${us(withLocks[2].cost)}; ` +
        `spawn ${us(withLocks[0].cost)} more`,
      n,
      ok: ofLocks <= limit,
      values: { spawn: withLocks[0], inParent: withLocks[1], inChild: withLocks[2] },
    },
    {
      what: 'the same, lock held',
      must: '<= 1.5 ms',
      measured: `${us(held.median)} in the parent (worst ${us(held.worst)})`,
      n: held.n,
      ok: held.median <= mostHeld,
      values: held,
    },
  ];
}

async function whileLockIsHeld(start, count) {
  const subject = start('spawner', ['atfork', '0']);
  await subject.ask('settle');
  await subject.ask('holdLock');
  const { held } = await takeTurns({ held: subject }, 'handlersInParent', count);
  await subject.end();
  return summaryOf(held);
}

function costsOf({ loaded, plain, plainToo, script }) {
  return {
    n: loaded.length,
    base: median(plain),
    cost: medianDifference(loaded, script),
    whole: medianDifference(loaded, plain),
    noise: medianDifference(plainToo, plain),
    ...mapValues({ loaded, plain, plainToo, script }, summaryOf),
  };
}

function describe({ loaded, base, whole, noise }) {
  return `${ms(loaded.median)}, without ${ms(base)}, with its JavaScript ${us(whole)} more, noise ${us(noise)}`;
}

function us(value) {
  return `${value.toFixed(0)} us`;
}

function mapValues(object, change) {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
}

/**
 * What the package costs a fork that is not its own, in a process that has loaded it and in one that has not, which take
 * turns: the whole of child_process.spawn, and of fork(3) from C only what the handlers of all libraries take, which leaves
 * out that a process with more memory forks more slowly. No lock is held.
 *
 * The figure is what the addon adds: its handlers, its watchers, its pages. So it is taken against a process that has the
 * package's JavaScript without the addon. What both add to a process without the package, as much of any JavaScript would
 * for the most part, is printed beside it.
 *
 * Two processes differ a little even when they do the same. So each round has fresh ones, and a second one without the
 * package: how that differs from the first is noise.
 */
import { median, medianDifference, ms, summaryOf } from './lib/stats.mjs';
import { takeTurns } from './lib/subjects.mjs';

const kinds = { loaded: 'atfork', plain: 'plain', plainToo: 'plain', script: 'script' };
const commands = {
  spawn: { what: 'child_process.spawn', must: '<= 5 % or 20 us more', share: 0.05 },
  handlersInParent: { what: 'fork(3) - _Fork(3), parent', must: '<= 20 us more', share: 0 },
  handlersInChild: { what: 'fork(3) - _Fork(3), child', must: '<= 20 us more', share: 0 },
};
const rounds = 5;

export async function measure({ start, samples }) {
  const all = mapValues(commands, () => mapValues(kinds, () => []));
  for (let round = 0; round < rounds; ++round) {
    const subjects = mapValues(kinds, (kind) => start('spawner', [kind, '0']));
    for (const subject of Object.values(subjects)) await subject.ask('settle');
    for (const command of Object.keys(commands)) {
      await takeTurns(subjects, command, 1);
      const answers = await takeTurns(subjects, command, samples(100));
      for (const name of Object.keys(kinds)) all[command][name].push(...answers[name]);
    }
    for (const subject of Object.values(subjects)) await subject.end();
  }
  return Object.entries(commands).map(([command, figure]) => rowOf(figure, all[command]));
}

function rowOf({ what, must, share }, { loaded, plain, plainToo, script }) {
  const base = median(plain);
  const limit = Math.max(share * base, 20);
  const cost = medianDifference(loaded, script);
  const noise = medianDifference(plainToo, plain);
  const whole = medianDifference(loaded, plain);
  return {
    what,
    must,
    measured:
      `${us(cost)} more (limit ${us(limit)}): ${ms(median(loaded))}, without ${ms(base)}; ` +
      `with its JavaScript ${us(whole)} more, noise ${us(noise)}`,
    n: loaded.length,
    ok: cost <= limit,
    values: { cost, whole, noise, ...mapValues({ loaded, plain, plainToo, script }, summaryOf) },
  };
}

function us(value) {
  return `${value.toFixed(0)} us`;
}

function mapValues(object, change) {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
}

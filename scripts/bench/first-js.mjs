/**
 * From the call of `fork()` to the first JavaScript of the child, in a process with nothing in it, beside what one waits
 * for today: child_process.fork and a Worker, to their first message.
 */
import { median, ms, summaryOf } from './lib/stats.mjs';

const others = [
  { name: 'childProcess', what: 'child_process.fork', faster: 15 },
  { name: 'worker', what: 'Worker', faster: 8 },
];

export async function measure({ start, samples }) {
  const ways = await inTurns(start, samples(100));
  const fork = median(ways.fork.firstJs);
  const values = Object.fromEntries(
    Object.entries(ways).map(([name, { firstJs, message }]) => [
      name,
      { firstJs: summaryOf(firstJs), message: summaryOf(message) },
    ]),
  );
  return others.map(({ name, what, faster }) => {
    const { firstJs, message } = ways[name];
    const ratio = median(message) / fork;
    return {
      what: `beside ${what}`,
      must: `>= ${faster} x faster`,
      measured:
        `${ratio.toFixed(1)} x: ${ms(fork)} (message ${ms(median(ways.fork.message))}); ` +
        `message ${ms(median(message))} (first JavaScript ${ms(median(firstJs))})`,
      n: message.length,
      ok: ratio >= faster,
      values: { fork: values.fork, [name]: values[name] },
    };
  });
}

/** Each way in a process of its own: one that has started Workers is no longer without anything in it. */
async function inTurns(start, rounds) {
  const names = ['fork', ...others.map(({ name }) => name)];
  const subjects = names.map((name) => start('first-js', [name]));
  await Promise.all(subjects.map((subject) => subject.ask('settle')));
  const ways = Object.fromEntries(names.map((name) => [name, { firstJs: [], message: [] }]));
  for (let round = -1; round < rounds; ++round) {
    for (const [index, name] of names.entries()) {
      const { firstJs, message } = await subjects[index].ask('measure');
      if (round < 0) continue; // not the first of its kind: what it loads lazily is loaded once
      ways[name].firstJs.push(firstJs);
      ways[name].message.push(message);
    }
  }
  await Promise.all(subjects.map((subject) => subject.end()));
  return ways;
}

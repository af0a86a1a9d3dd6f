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
  const subject = start('first-js', []);
  const ways = await subject.ask('measure', samples(100));
  await subject.end();
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

/**
 * How long child_process.spawn blocks before and after 100 forks, with 512 MB of JavaScript heap: V8 keeps its heap out
 * of forks, and the library, which has to include it in its own, must leave it so. A twin that never forks takes turns
 * with it: its drift is the machine's, and is taken off. At the end the marks are taken away, to show what it would cost
 * if they had not been put back.
 */
import { median, medianDifference, ms, summaryOf } from './lib/stats.mjs';
import { takeTurns } from './lib/subjects.mjs';

const heapMegabytes = 512;

export async function measure({ start, samples }) {
  const count = samples(200);
  const forks = samples(100);
  const forker = start('spawner', ['atfork', String(heapMegabytes)]);
  const twin = start('spawner', ['atfork', String(heapMegabytes)]);
  for (const subject of [forker, twin]) await subject.ask('settle');
  await takeTurns({ forker, twin }, 'spawn', 2);

  const before = await takeTurns({ forker, twin }, 'spawn', count);
  await forker.ask('fork', forks);
  const after = await takeTurns({ forker, twin }, 'spawn', count);
  await forker.ask('includeMarked');
  const unmarked = await takeTurns({ forker }, 'spawn', Math.ceil(count / 10));
  await forker.end();
  await twin.end();

  const base = median(before.forker);
  const cost = medianDifference(after.forker, after.twin) - medianDifference(before.forker, before.twin);
  return [
    {
      what: `${forks} forks, ${heapMegabytes} MB heap`,
      must: '<= 10 % or 0.1 ms more',
      measured:
        `${ms(cost)} more: ${ms(base)} -> ${ms(median(after.forker))}; ` +
        `twin ${ms(median(before.twin))} -> ${ms(median(after.twin))}; unmarked ${ms(median(unmarked.forker))}`,
      n: count,
      ok: cost <= Math.max(0.1 * base, 100),
      values: {
        cost,
        before: summaryOf(before.forker),
        after: summaryOf(after.forker),
        twinBefore: summaryOf(before.twin),
        twinAfter: summaryOf(after.twin),
        unmarked: summaryOf(unmarked.forker),
      },
    },
  ];
}

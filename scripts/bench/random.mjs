/**
 * How long Math.random takes in a process that has forked, and in its child, beside a process that has not loaded the package.
 * They take turns. `r` is a copy of the function that was taken before the fork.
 */
import { median, summaryOf } from './lib/stats.mjs';
import { takeTurns } from './lib/subjects.mjs';

const calls = 5e6;
const most = 2;

export async function measure({ start, samples }) {
  const plain = start('random', ['plain']);
  const forked = start('random', ['atfork']);
  for (const subject of [plain, forked]) await subject.ask('settle');
  const answers = await takeTurns({ plain, forked }, 'draw', samples(20));
  await plain.end();
  await forked.end();
  const base = median(answers.plain.map(({ parent }) => parent));
  return ['parent', 'child'].map((side) => {
    const times = answers.forked.map((each) => each[side]);
    const ratio = median(times) / base;
    const ns = (us) => `${((us * 1000) / calls).toFixed(1)} ns`;
    return {
      what: `Math.random in the ${side}`,
      must: `<= ${most} x`,
      measured: `${ratio.toFixed(2)} x: ${ns(median(times))} a call, without the package ${ns(base)}`,
      n: times.length,
      ok: ratio <= most,
      values: { [side]: summaryOf(times), plain: summaryOf(answers.plain.map(({ parent }) => parent)) },
    };
  });
}

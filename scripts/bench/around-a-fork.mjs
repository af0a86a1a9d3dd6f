/**
 * What hooks, the look for lost threads, randomness, and the handles that a child gives up add to `fork()`. Beside it, in turns,
 * the fork alone: the same native call, in whose child the Workers are ended and nothing else is done.
 *
 * The figure is the parent's time. The child's is told too: it destroys one object for each socket, each of which has a page
 * or two of its own that has to be copied.
 */
import { medianDifference, median, ms, summaryOf } from './lib/stats.mjs';

const hooks = 100;
const sockets = 1000;
const workers = 4;

export async function measure({ start, samples }) {
  const subject = start('around-a-fork', [String(sockets), String(workers)]);
  const { all, bare } = await subject.ask('measure', samples(100), hooks);
  await subject.end();
  const limit = 1000 + 2 * sockets;
  return ['parent', 'child'].map((side) => {
    const more = medianDifference(
      all.map((each) => each[side]),
      bare.map((each) => each[side]),
    );
    return {
      what: `the ${side}: ${hooks} hooks, ${sockets} sockets, ${workers} Workers`,
      must: side === 'parent' ? '<= 1 ms + 2 us a socket' : '-',
      measured: `${ms(more)} more, ${ms(median(bare.map((each) => each[side])))} without${side === 'parent' ? ` (limit ${ms(limit)})` : ''}`,
      n: all.length,
      ok: side === 'child' || more <= limit,
      values: { all: summaryOf(all.map((each) => each[side])), bare: summaryOf(bare.map((each) => each[side])) },
    };
  });
}

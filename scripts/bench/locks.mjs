/**
 * Locks: what taking and releasing one costs when nobody else wants it, beside the least that it can cost, and, for one
 * between processes, beside a robust pthread mutex; and what several Workers get through on one, beside as many threads with
 * a pthread mutex.
 */
import { median, summaryOf } from './lib/stats.mjs';

const pairs = 1e6;
const mostPair = 1.8;
const mostNativePair = 1.3;
const mostSharedPair = 1.5;
const mostSharedNs = 15;
const leastThroughput = 0.7;
const leastShare = 0.5;
const contestUs = 5e6;
const warmUpUs = 3e5;

export async function measure({ start, samples, scale }) {
  const subject = start('locks', []);
  await subject.ask('settle');
  await subject.ask('pairs');
  const rows = uncontended(await times(samples(21), () => subject.ask('pairs')));
  rows.push(fromC(await times(samples(21), () => subject.ask('nativePairs'))));
  // In the order in which one process would: V8 sees both kinds of lock from here on.
  await subject.ask('sharedPairs');
  rows.push(...shared(await times(samples(21), () => subject.ask('sharedPairs'))));
  for (const count of [2, 4]) {
    const us = contestUs * Math.min(scale, 1);
    // Until V8 has compiled what they do for good.
    for (let i = 0; i < 3; ++i) await subject.ask('contest', count, warmUpUs);
    rows.push(...contested(count, us, await times(samples(3), () => subject.ask('contest', count, us))));
  }
  await subject.ask('leave');
  await subject.end();
  return rows;
}

async function times(count, ask) {
  const answers = [];
  for (let i = 0; i < count; ++i) answers.push(await ask());
  return answers;
}

const ns = (us) => `${((us * 1000) / pairs).toFixed(1)} ns`;

function fromC(answers) {
  const [api, pthread] = ['api', 'pthread'].map((way) => answers.map((each) => each[way]));
  const ratio = median(api.map((us, index) => us / pthread[index]));
  return {
    what: 'lock and unlock from C',
    must: `<= ${mostNativePair} x`,
    measured: `${ratio.toFixed(2)} x: ${ns(median(api))}, a recursive pthread mutex ${ns(median(pthread))}`,
    n: api.length,
    ok: ratio <= mostNativePair,
    values: { api: summaryOf(api), pthread: summaryOf(pthread) },
  };
}

function uncontended(answers) {
  const bare = answers.map((each) => each.bare);
  return ['lock', 'guard'].map((way) => {
    const own = answers.map((each) => each[way]);
    const ratio = median(own.map((us, index) => us / bare[index]));
    return {
      what: way === 'lock' ? 'acquire() and release()' : 'acquire() and its guard',
      must: `<= ${mostPair} x`,
      measured: `${ratio.toFixed(2)} x: ${ns(median(own))}, compareExchange and store ${ns(median(bare))}`,
      n: own.length,
      ok: ratio <= mostPair,
      values: { own: summaryOf(own), bare: summaryOf(bare) },
    };
  });
}

function shared(answers) {
  const pthread = median(answers.map((each) => each.pthread));
  const limit = mostSharedPair * pthread + (mostSharedNs * pairs) / 1000;
  return ['lock', 'guard'].map((way) => {
    const own = answers.map((each) => each[way]);
    return {
      what: way === 'lock' ? 'SharedLock, acquire() and release()' : 'SharedLock, acquire() and its guard',
      must: `<= ${mostSharedPair} x + ${mostSharedNs} ns`,
      measured: `${ns(median(own))} (limit ${ns(limit)}), a robust pthread mutex ${ns(pthread)}`,
      n: own.length,
      ok: median(own) <= limit,
      values: { own: summaryOf(own), pthread },
    };
  });
}

function contested(count, us, answers) {
  const sum = (rounds) => rounds.reduce((total, each) => total + each, 0);
  const ratios = answers.map(({ ours, pthread }) => sum(ours) / sum(pthread));
  const shares = answers.map(({ ours }) => (Math.min(...ours) * count) / sum(ours));
  const perMs = (side) => Math.round((median(answers.map((each) => sum(each[side]))) / us) * 1000);
  return [
    {
      what: `${count} Workers, throughput`,
      must: `>= ${leastThroughput} x`,
      measured: `${median(ratios).toFixed(2)} x: ${perMs('ours')} in a ms, with pthread_mutex ${perMs('pthread')}`,
      n: answers.length,
      ok: median(ratios) >= leastThroughput,
      values: { ratios, answers },
    },
    {
      what: `${count} Workers, smallest share`,
      must: `>= ${leastShare} of fair`,
      measured: `${Math.min(...shares).toFixed(2)} of fair`,
      n: answers.length,
      ok: Math.min(...shares) >= leastShare,
      values: { shares },
    },
  ];
}

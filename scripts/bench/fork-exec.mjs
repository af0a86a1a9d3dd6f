/**
 * Starting programs: for how long forkExec() blocks the event loop, in processes that have touched more and more memory,
 * beside child_process.spawn and posix_spawn(3) from C; how many are started and reaped in a second, on one processor; and
 * when the first byte of output is there.
 */
import { median, ms, quantile, summaryOf } from './lib/stats.mjs';

/** Megabytes touched, and how often less than child_process.spawn the block must be there; the others are for the plot. */
const sizes = [
  { megabytes: 50, less: 3 },
  { megabytes: 256 },
  { megabytes: 1024, less: 50 },
  { megabytes: 2048 },
  { megabytes: 4096, less: 200 },
];
/** Starts after which V8 has compiled what runs there; until then JavaScript takes two or three times as long. Told, not judged. */
const untilCompiled = 2000;
const mostGrowth = 1.5;
const mostOfPosixSpawn = 1.3;
const leastOfSpawn = 2;
const leastOfPosixSpawn = 0.75;

export async function measure({ start, samples }) {
  const blocks = [];
  for (const size of sizes) blocks.push({ ...size, ...(await blocksAt(start, size.megabytes, samples)) });
  return [...rowsOf(blocks), ...(await rates(start, samples)), await firstBytes(start, samples)];
}

/** What the README shows. */
export function plot(rows) {
  const ways = { spawn: 'child_process.spawn', posixSpawn: 'posix_spawn(3) from C', forkExec: 'forkExec' };
  const points = rows.flatMap(({ megabytes, values }) =>
    megabytes === undefined
      ? []
      : Object.entries(ways).map(([way, curve]) => ({ curve, x: megabytes, y: values[way].median / 1000 })),
  );
  return {
    title: 'For how long the start of a program blocks the event loop',
    axes: { x: 'MB that the process has touched', y: 'ms' },
    points,
    curves: Object.values(ways),
  };
}

/**
 * Microseconds of each way, taken in turns. Those that copy nothing first: the pages that a fork(2) has made read-only are paid for by
 * whoever writes to them next, which JavaScript does everywhere, and C hardly anywhere. On one processor: whether the kernel
 * has put the child on another, which it does for minutes or never, makes a difference of half of it, in every way.
 */
async function blocksAt(start, megabytes, samples) {
  const subject = start('exec', [String(megabytes)]);
  await subject.ask('settle');
  await subject.ask('pin');
  const names = ['forkExec', 'posixSpawn', ...(process.getuid() === 0 ? ['withIds'] : [])];
  const sparing = await inTurns(subject, names, samples(300));
  await subject.ask('warmUp', untilCompiled);
  const compiled = await inTurns(subject, ['forkExec', 'posixSpawn'], samples(100));
  const copying = await inTurns(subject, ['spawn'], samples(60));
  await subject.end();
  return { ...sparing, ...copying, compiled };
}

async function inTurns(subject, names, count) {
  const ways = Object.fromEntries(names.map((name) => [name, []]));
  // What a process does now and then, it does at first more slowly.
  for (let round = -Math.ceil(count / 3); round < count; ++round) {
    for (const name of names) {
      const us = await subject.ask(name);
      if (round >= 0) ways[name].push(us);
    }
  }
  return ways;
}

function rowsOf(blocks) {
  const ratio = ({ forkExec, posixSpawn }) => median(forkExec.map((us, i) => us / posixSpawn[i]));
  const rows = blocks.map(({ megabytes, less, forkExec, posixSpawn, spawn, compiled }) => {
    const ofPosix = ratio({ forkExec, posixSpawn });
    const fewer = median(spawn) / median(forkExec);
    return {
      megabytes,
      what: `block, ${String(megabytes)} MB`,
      must: `<= ${String(mostOfPosixSpawn)} x posix_spawn${less === undefined ? '' : `, spawn / ${String(less)}`}`,
      measured:
        `${ms(median(forkExec))} (p99 ${ms(quantile(forkExec, 0.99))}): ${ofPosix.toFixed(2)} x ` +
        `(compiled ${ratio(compiled).toFixed(2)} x), ` +
        `posix_spawn ${ms(median(posixSpawn))} (p99 ${ms(quantile(posixSpawn, 0.99))}); spawn ${ms(median(spawn))} / ${fewer.toFixed(0)}`,
      n: forkExec.length,
      ok: ofPosix <= mostOfPosixSpawn && fewer >= (less ?? 0),
      values: { forkExec: summaryOf(forkExec), posixSpawn: summaryOf(posixSpawn), spawn: summaryOf(spawn) },
    };
  });
  for (const [way, what] of Object.entries({ forkExec: 'block, growth', withIds: 'the same, uid and gid' })) {
    if (blocks[0][way] === undefined) continue;
    const medians = blocks.map((each) => median(each[way]));
    const growth = Math.max(...medians) / Math.min(...medians);
    rows.push({
      what,
      must: `<= ${String(mostGrowth)} x`,
      measured: `${growth.toFixed(2)} x: ${medians.map((us) => ms(us)).join(', ')}`,
      n: blocks[0][way].length,
      ok: growth <= mostGrowth,
      values: { medians },
    });
  }
  return rows;
}

async function rates(start, samples) {
  const subject = start('exec', ['50']);
  await subject.ask('settle');
  await subject.ask('pin');
  const ways = { forkExec: [], posixSpawn: [], spawn: [] };
  for (let round = -1; round < samples(9); ++round) {
    for (const way of Object.keys(ways)) {
      const rate = await subject.ask('rate', way, 200);
      if (round >= 0) ways[way].push(rate);
    }
  }
  await subject.end();
  const [ofSpawn, ofPosix] = ['spawn', 'posixSpawn'].map((way) =>
    median(ways.forkExec.map((rate, i) => rate / ways[way][i])),
  );
  const [own, posix, nodes] = Object.values(ways).map((each) => Math.round(median(each)));
  return [
    {
      what: 'started and reaped in a second',
      must: `>= ${String(leastOfSpawn)} x spawn, ${String(leastOfPosixSpawn)} x posix_spawn`,
      measured: `${String(own)}: ${ofSpawn.toFixed(2)} x spawn (${String(nodes)}), ${ofPosix.toFixed(2)} x posix_spawn (${String(posix)})`,
      n: ways.forkExec.length,
      ok: ofSpawn >= leastOfSpawn && ofPosix >= leastOfPosixSpawn,
      values: { ways },
    },
  ];
}

async function firstBytes(start, samples) {
  const subject = start('exec', ['50']);
  await subject.ask('settle');
  const own = [];
  const nodes = [];
  for (let round = -5; round < samples(100); ++round) {
    const pair = [await subject.ask('firstByteOfForkExec'), await subject.ask('firstByteOfSpawn')];
    if (round < 0) continue;
    own.push(pair[0]);
    nodes.push(pair[1]);
  }
  await subject.end();
  const ratio = median(own.map((us, i) => us / nodes[i]));
  return {
    what: 'first byte of output',
    must: '<= 1 x spawn',
    measured: `${ratio.toFixed(2)} x: ${ms(median(own))} (p99 ${ms(quantile(own, 0.99))}), spawn ${ms(median(nodes))}`,
    n: own.length,
    ok: ratio <= 1,
    values: { own: summaryOf(own), spawn: summaryOf(nodes) },
  };
}

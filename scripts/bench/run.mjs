/**
 * The figures that the library is held to, measured: what each must be, what it is, and whether that is enough.
 *
 * Ratios are taken side by side, in turns, in one run, so that a busy machine slows both sides; the machine should be
 * quiet all the same.
 * Usage:  npm run bench [-- [FIGURE...] [--scale X] [--json FILE] [--plot FILE] [--node BIN] [--long]]
 *         FIGURE is a file of this folder, see `figures`; default all but those that take long, which --long adds.
 *         --scale: all numbers of samples times X, default 1, which takes some minutes; 0.1 shows that it works.
 *         FILE gets every row with its numbers, durations in microseconds. --plot FILE: the curves of `fork-exec`, as SVG.
 *         --node: another Node than this one.
 * Needs:  what `npm run setup` needs; glibc 2.34; 4 GB of memory. Builds the addon of the benchmarks if need be.
 * Exit:   0 every figure is ok, 1 one is not or could not be measured, 100 usage.
 */
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { outputOf, run } from '../lib/run.mjs';
import { table } from '../lib/table.mjs';
import { killSubjects, startSubject } from './lib/subjects.mjs';

const figures = [
  'fork-cost',
  'first-js',
  'quiesce',
  'foreign-fork',
  'spawn-after-fork',
  'around-a-fork',
  'random',
  'locks',
  'fork-exec',
];
const longFigures = ['churn'];

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      scale: { type: 'string', default: '1' },
      json: { type: 'string' },
      node: { type: 'string', default: process.execPath },
      long: { type: 'boolean', default: false },
      plot: { type: 'string' },
    },
  });
  const known = [...figures, ...longFigures];
  const unknown = positionals.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`no such figure: ${unknown.join(', ')}; there are ${known.join(', ')}`);
  const scale = Number(values.scale);
  if (!(scale > 0)) throw new RangeError(`--scale ${values.scale}: not more than 0`);
  const names = positionals.length > 0 ? positionals : values.long ? known : figures;
  return { names, scale, json: values.json, plot: values.plot, node: path.resolve(values.node) };
}

/** @returns the figure's rows; if it could not be measured, one that says why */
async function measureFigure(name, { node, scale }) {
  const { measure } = await import(`./${name}.mjs`);
  const tools = {
    node,
    /** Starts lib/subjects.mjs' `startSubject` with the Node that is measured. */
    start: (subject, args, options = {}) => startSubject(subject, args, { node, ...options }),
    /** How many samples to take where a whole run takes `count`. */
    samples: (count) => Math.max(2, Math.round(count * scale)),
    scale,
  };
  try {
    const rows = await measure(tools);
    return rows.map(({ ok, ...row }) => ({ figure: name, ...row, verdict: ok ? 'ok' : 'OVER' }));
  } catch (error) {
    console.error(error);
    const measured = error.message.split('\n')[0];
    return [{ figure: name, what: '-', must: '-', measured, n: 0, values: {}, verdict: 'FAILED' }];
  } finally {
    killSubjects();
  }
}

function machineOf(node) {
  return {
    node: outputOf(node, ['--version']).trim(),
    cpu: os.cpus()[0].model.trim(),
    cores: os.availableParallelism(),
    memoryGb: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    glibc: process.report.getReport().header.glibcVersionRuntime,
  };
}

function loadAverage() {
  return os.loadavg()[0].toFixed(2);
}

async function main() {
  let options;
  try {
    options = readArguments();
  } catch (error) {
    console.error(`bench: ${error.message}`);
    return 100;
  }
  if (!run(process.execPath, [path.join('scripts', 'setup.mjs'), '--bench'])) return 1;
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  process.once('exit', killSubjects);

  const machine = machineOf(options.node);
  const load = { atStart: loadAverage() };
  const rows = [];
  for (const name of options.names) {
    console.error(`bench: ${name}`);
    rows.push(...(await measureFigure(name, options)));
  }
  load.atEnd = loadAverage();

  const shown = rows.map(({ figure, what, must, measured, n, verdict }) => ({
    figure,
    what,
    must,
    measured,
    n,
    '': verdict,
  }));
  console.log(`\n${table(shown)}\n`);
  const { node, cpu, cores, memoryGb, kernel, glibc } = machine;
  console.log(`Node ${node}, ${cores} cores of ${cpu}, ${memoryGb} GB, Linux ${kernel}, glibc ${glibc}`);
  console.log(`load average ${load.atStart} at the start, ${load.atEnd} at the end; samples x ${options.scale}`);
  if (options.json !== undefined) {
    writeFileSync(options.json, `${JSON.stringify({ machine, load, scale: options.scale, rows }, null, 2)}\n`);
  }
  if (options.plot !== undefined) await writePlot(options.plot, rows);
  return rows.every(({ verdict }) => verdict === 'ok') ? 0 : 1;
}

async function writePlot(file, rows) {
  const { plot } = await import('./fork-exec.mjs');
  const { plotSvg } = await import('./lib/plot.mjs');
  writeFileSync(file, `${await plotSvg(plot(rows.filter(({ figure }) => figure === 'fork-exec')))}\n`);
}

process.exitCode = await main();

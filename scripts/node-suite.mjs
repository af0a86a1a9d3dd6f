/**
 * Node's own tests inside a forked child, or with atfork/child-process in place of node:child_process: a test that passes
 * plainly must pass there too.
 *
 * Each file of test/parallel and test/sequential is run as it is, and once more with a preload (node-suite/preload.cjs)
 * that forks before the test begins, or puts the one module in the other's place. A miss passes without and fails with
 * it; it is run again, plainly, with atfork loaded and nothing more, and as it failed.
 * Usage:  npm run test:node-suite -- CHECKOUT [--with fork|child-process] [--node BIN] [--only REGEX] [--rerun N]
 *                                             [--jobs N] [--timeout MS] [--out FILE]
 *         CHECKOUT holds the `test/` of Node's repository at (about) the version of BIN, e.g. from the history of
 *         denoland/node_test. --with: default fork. --only is matched against `parallel/test-x.js`. --rerun: how often each miss is run
 *         again, each way; default 10. --jobs: how many parallel tests at a time; default 2. --timeout is for one run;
 *         default 120,000. FILE gets a JSON line per test, and one more per miss with its reruns.
 * Needs:  build/Release/atfork.node and dist/ (`npm run setup`).
 * Exit:   0 no miss, 1 a miss, 100 usage.
 */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { killAll, passed, runTest } from './node-suite/run-test.mjs';
import { findTests } from './node-suite/tests.mjs';

/** A rerun of a test that is quick without the fork is given this much at least, in ms. */
const shortestRerun = 20_000;

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      with: { type: 'string', default: 'fork' },
      node: { type: 'string', default: process.execPath },
      only: { type: 'string', default: '' },
      rerun: { type: 'string', default: '10' },
      jobs: { type: 'string', default: '2' },
      timeout: { type: 'string', default: '120000' },
      out: { type: 'string', default: path.join(os.tmpdir(), 'node-suite.jsonl') },
    },
  });
  if (positionals.length !== 1) throw new Error("wanted: the folder with Node's tests, and nothing else");
  if (!['fork', 'child-process'].includes(values.with)) throw new RangeError(`--with ${values.with}: no such thing`);
  const atLeast = (minimum, name) => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= minimum) return value;
    throw new RangeError(`--${name} ${values[name]}: not ${minimum} or more`);
  };
  return {
    checkout: path.resolve(positionals[0]),
    mode: values.with,
    node: path.resolve(values.node),
    only: new RegExp(values.only),
    rerun: atLeast(0, 'rerun'),
    jobs: atLeast(1, 'jobs'),
    timeout: atLeast(1, 'timeout'),
    out: path.resolve(values.out),
  };
}

/** Calls `work(item, job)` for each item, `jobs` at a time, in order. */
async function forEachOf(items, jobs, work) {
  const queue = items.values(); // shared: each takes the next
  const worker = async (job) => {
    for (const item of queue) await work(item, job);
  };
  await Promise.all(Array.from({ length: jobs }, (_, job) => worker(job)));
}

/** Plainly, and in the mode that is tried if that passed. */
async function compare(test, mode, run) {
  const plain = await run(test, 'plain');
  const tried = passed(plain) ? await run(test, mode) : null;
  return { test, plain, tried };
}

function isMiss({ tried }) {
  return tried !== null && !passed(tried);
}

/** Runs a miss again, each way; the timeout follows from how long the test takes plainly. */
async function repeat({ test, plain }, run, { rerun, timeout, mode: tried }) {
  const limit = Math.min(timeout, Math.max(shortestRerun, 10 * plain.ms));
  const counts = { plain: 0, load: 0, [tried]: 0 }; // those that passed
  const failures = [];
  for (let time = 0; time < rerun; ++time) {
    for (const mode of Object.keys(counts)) {
      const outcome = await run(test, mode, limit);
      if (passed(outcome)) ++counts[mode];
      else failures.push({ mode, ...outcome });
    }
  }
  return { counts, failures };
}

/** What a reader wants to know first of a miss. */
function verdict(counts, { rerun, mode }) {
  if (rerun === 0) return 'not run again';
  const tried = counts[mode];
  const when = tried === 0 ? 'always' : tried < rerun ? 'sometimes' : 'not again';
  const too = counts.plain < rerun ? ', plainly too' : counts.load < rerun ? ', with atfork loaded too' : '';
  const passes = `${counts.plain} pass plainly, ${counts.load} with atfork loaded, ${tried} with ${mode}`;
  return `${when}${too} (of ${rerun}: ${passes})`;
}

/**
 * One suite: all of `tests`, then the misses again.
 *
 * @returns the results; a miss has `counts` of its reruns
 */
async function runSuite(tests, jobs, scratch, options) {
  const { checkout, mode, node, timeout, out } = options;
  const record = (line) => appendFileSync(out, `${JSON.stringify(line)}\n`);
  const runner = (job) => (test, how, limit) => runTest(test, how, { node, checkout, scratch, job, timeout: limit });

  const results = [];
  await forEachOf(tests, jobs, async (test, job) => {
    const result = await compare(test, mode, (...which) => runner(job)(...which, timeout));
    results.push(result);
    record({ name: test.name, plain: result.plain, [mode]: result.tried });
    if (isMiss(result)) console.log(`miss ${test.name}: ${result.tried.result}`);
  });
  await forEachOf(results.filter(isMiss), jobs, async (result, job) => {
    const { counts, failures } = await repeat(result, runner(job), options);
    result.counts = counts;
    record({ name: result.test.name, counts, failures });
  });
  return results;
}

/** @returns {boolean} whether there was no miss */
function report(results, leftOut, options) {
  for (const { name, reason } of leftOut) console.log(`left out: ${name}: ${reason}`);
  for (const { test, plain } of results) {
    if (!passed(plain)) console.log(`does not count: ${test.name}: ${plain.result}`);
  }
  const misses = results.filter(isMiss);
  for (const { test, tried, counts } of misses) {
    console.log(`miss: ${test.name}: ${tried.result}; ${verdict(counts, options)}`);
  }
  const counting = results.filter(({ plain }) => passed(plain));
  const skipped = counting.filter(({ plain }) => plain.result === 'skipped').length;
  console.log(
    `\n${results.length} tests, ${leftOut.length} left out; ${counting.length} pass plainly, ${skipped} of them by` +
      ` skipping themselves; every outcome is in ${options.out}`,
  );
  console.log(`${counting.length - misses.length} passed, ${misses.length} failed`);
  return misses.length === 0;
}

async function main() {
  let options, found;
  try {
    options = readArguments();
    found = findTests(options.checkout, options.only, options.mode);
    if (found.tests.length === 0) throw new Error(`no test matches ${options.only}`);
  } catch (error) {
    console.error(`node-suite: ${error.message}`);
    return 100;
  }
  mkdirSync(path.dirname(options.out), { recursive: true });
  writeFileSync(options.out, '');
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'ns-')); // short: tests put sockets there
  process.once('exit', () => {
    killAll();
    rmSync(scratch, { recursive: true, force: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

  const parallel = found.tests.filter((test) => test.parallel);
  const sequential = found.tests.filter((test) => !test.parallel);
  const results = [
    ...(await runSuite(parallel, options.jobs, scratch, options)),
    ...(await runSuite(sequential, 1, scratch, options)),
  ];
  return report(results, found.leftOut, options) ? 0 : 1;
}

process.exitCode = await main();

/**
 * Node's own tests inside a forked child: a test that passes plainly must pass there too.
 *
 * Each file of test/parallel and test/sequential is run as it is, and once more with a preload that forks before the
 * test begins (node-suite/fork-first.cjs). A miss passes without the fork and fails with it; it is run again, plainly,
 * with atfork loaded but no fork, and with the fork.
 * Usage:  npm run test:node-suite -- CHECKOUT [--node BIN] [--only REGEX] [--rerun N] [--jobs N] [--timeout MS]
 *                                             [--out FILE]
 *         CHECKOUT holds the `test/` of Node's repository at (about) the version of BIN, e.g. from the history of
 *         denoland/node_test. --only is matched against `parallel/test-x.js`. --rerun: how often each miss is run
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
      node: { type: 'string', default: process.execPath },
      only: { type: 'string', default: '' },
      rerun: { type: 'string', default: '10' },
      jobs: { type: 'string', default: '2' },
      timeout: { type: 'string', default: '120000' },
      out: { type: 'string', default: path.join(os.tmpdir(), 'node-suite.jsonl') },
    },
  });
  if (positionals.length !== 1) throw new Error("wanted: the folder with Node's tests, and nothing else");
  const atLeast = (minimum, name) => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= minimum) return value;
    throw new RangeError(`--${name} ${values[name]}: not ${minimum} or more`);
  };
  return {
    checkout: path.resolve(positionals[0]),
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

/** Plainly, and with the fork if that passed. */
async function compare(test, run) {
  const plain = await run(test, 'plain');
  const fork = passed(plain) ? await run(test, 'fork') : null;
  return { test, plain, fork };
}

function isMiss({ fork }) {
  return fork !== null && !passed(fork);
}

/** Runs a miss again, each way; the timeout follows from how long the test takes without the fork. */
async function repeat({ test, plain }, run, { rerun, timeout }) {
  const limit = Math.min(timeout, Math.max(shortestRerun, 10 * plain.ms));
  const counts = { plain: 0, load: 0, fork: 0 }; // those that passed
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
function verdict(counts, rerun) {
  if (rerun === 0) return 'not run again';
  const when = counts.fork === 0 ? 'always' : counts.fork < rerun ? 'sometimes' : 'not again';
  const too = counts.plain < rerun ? ', plainly too' : counts.load < rerun ? ', without a fork too' : '';
  const passes = `${counts.plain} pass plainly, ${counts.load} with atfork loaded, ${counts.fork} forked`;
  return `${when}${too} (of ${rerun}: ${passes})`;
}

/**
 * One suite: all of `tests`, then the misses again.
 *
 * @returns the results; a miss has `counts` of its reruns
 */
async function runSuite(tests, jobs, scratch, options) {
  const { checkout, node, timeout, out } = options;
  const record = (line) => appendFileSync(out, `${JSON.stringify(line)}\n`);
  const runner = (job) => (test, mode, limit) => runTest(test, mode, { node, checkout, scratch, job, timeout: limit });

  const results = [];
  await forEachOf(tests, jobs, async (test, job) => {
    const result = await compare(test, (...which) => runner(job)(...which, timeout));
    results.push(result);
    record({ name: test.name, plain: result.plain, fork: result.fork });
    if (isMiss(result)) console.log(`miss ${test.name}: ${result.fork.result}`);
  });
  await forEachOf(results.filter(isMiss), jobs, async (result, job) => {
    const { counts, failures } = await repeat(result, runner(job), options);
    result.counts = counts;
    record({ name: result.test.name, counts, failures });
  });
  return results;
}

/** @returns {boolean} whether there was no miss */
function report(results, leftOut, { rerun, out }) {
  for (const { name, reason } of leftOut) console.log(`left out: ${name}: ${reason}`);
  for (const { test, plain } of results) {
    if (!passed(plain)) console.log(`does not count: ${test.name}: ${plain.result}`);
  }
  const misses = results.filter(isMiss);
  for (const { test, fork, counts } of misses) {
    console.log(`miss: ${test.name}: ${fork.result}; ${verdict(counts, rerun)}`);
  }
  const counting = results.filter(({ plain }) => passed(plain));
  const skipped = counting.filter(({ plain }) => plain.result === 'skipped').length;
  console.log(
    `\n${results.length} tests, ${leftOut.length} left out; ${counting.length} pass plainly, ${skipped} of them by` +
      ` skipping themselves; every outcome is in ${out}`,
  );
  console.log(`${counting.length - misses.length} passed, ${misses.length} failed`);
  return misses.length === 0;
}

async function main() {
  let options, found;
  try {
    options = readArguments();
    found = findTests(options.checkout, options.only);
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

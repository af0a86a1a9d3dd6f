/** One run of one test, in a process group of its own: bounded, its output kept, nothing of it left behind. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const preload = fileURLToPath(new URL('preload.cjs', import.meta.url));

/** What test/common prints when it starts the test anew, for want of a flag: then it is not our child that runs. */
const startedAnew = 'NOTE: The test started as a child_process';

/** How much of the end of a run's output is kept, in characters. */
const kept = 16_000;

/** Set by npm or by whoever started us, and not for the tests. */
const foreign = /^(npm_|NODE_|INIT_CWD$|FORCE_COLOR$|NO_COLOR$)/;
const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));

/** Process groups that are running now. */
const running = new Set();

/**
 * @typedef {object} Outcome
 * @property {string} result 'ok', 'skipped', 'exit 1', 'SIGSEGV', 'timed out', 'started anew'
 * @property {number} ms
 * @property {string} [output] the end of stdout and stderr, as one, if the test did not pass
 */

/**
 * @param {import('./tests.mjs').Test} test
 * @param {'plain' | 'load' | 'fork' | 'child-process'} mode as in preload.cjs
 * @param {{ node: string, checkout: string, scratch: string, job: number, timeout: number }} how
 *   `scratch`: a folder for temporary files; `job`: no two runs at the same time have the same; `timeout` in ms, then
 *   all is killed
 * @returns {Promise<Outcome>} rejected when `node` cannot be started
 */
export async function runTest(test, mode, { node, checkout, scratch, job, timeout }) {
  const log = path.join(scratch, `output.${job}`);
  const fd = openSync(log, 'a');
  const started = performance.now();
  const child = spawn(node, ['--require', preload, ...test.flags, test.file], {
    cwd: checkout,
    detached: true, // the leader of a process group
    stdio: ['ignore', fd, fd], // files, as Node's tools/test.py has it: no descendant keeps us waiting for its end
    env: {
      ...inherited,
      ...test.env,
      ATFORK_NODE_SUITE: mode,
      NODE_TEST_DIR: scratch,
      TEST_THREAD_ID: String(job),
      TEST_PARALLEL: test.parallel ? '1' : '0',
    },
  });
  closeSync(fd);
  running.add(child.pid);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    killGroup(child.pid);
  }, timeout);
  try {
    const { code, signal } = await ended(child);
    const output = readFileSync(log, 'utf8');
    const outcome = {
      result: timedOut ? 'timed out' : describe(code, signal, output),
      ms: Math.round(performance.now() - started),
    };
    return passed(outcome) ? outcome : { ...outcome, output: output.slice(-kept) };
  } finally {
    clearTimeout(timer);
    if (child.pid !== undefined) killGroup(child.pid); // what the test left behind
    running.delete(child.pid);
    rmSync(log, { force: true });
    rmSync(path.join(scratch, `.tmp.${job}`), { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Ends all that is running, for a caller who is about to end itself. */
export function killAll() {
  for (const pid of running) killGroup(pid);
}

export function passed({ result }) {
  return result === 'ok' || result === 'skipped';
}

function ended(child) {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
}

function describe(code, signal, output) {
  if (output.includes(startedAnew)) return 'started anew';
  if (signal !== null) return signal;
  if (code !== 0) return `exit ${code}`;
  return output.startsWith('1..0 # Skipped') ? 'skipped' : 'ok';
}

function killGroup(leader) {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error; // none left
  }
}

/** Two ways to fork this process, and how their children end. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

import { _exit, fork, waitpid } from 'atfork';

import { milliseconds, readInChild } from './child.mjs';

// Built by scripts/setup.mjs.
const { plainFork } = createRequire(import.meta.url)('../../build/Release/plain_fork.node');

/** The end of a child that has done its work. */
export const good = 'exit 0';

/** Milliseconds for a child to end; past them it is killed. */
const bound = 8000;

/**
 * fork() of this library: the child reads `file`, and exits.
 *
 * @param {{ path: string, sum: number }} file
 * @param {BigInt64Array} released when a Worker last released the lock
 * @param {number} lockTimeout milliseconds
 * @returns {Promise<{ pid?: number, end: string, wait?: number, fork?: number, childWait?: number }>}
 *   what became of the child; the times, in milliseconds, are there when it has done its work
 */
export async function forkReader(file, released, lockTimeout) {
  const report = `${file.path}.json`;
  const called = process.hrtime.bigint();
  let pid;
  try {
    // The Workers hold no lock but the one that fork() waits for.
    pid = fork({ lockTimeout, allowThreads: [{ kind: 'js-worker' }] });
  } catch (error) {
    return { end: error.code };
  }
  if (pid === 0) endWith(() => readInChild(file, report, called, Atomics.load(released, 0)));
  const took = milliseconds(called, process.hrtime.bigint());

  const end = await endOf(pid);
  if (end !== good) return { pid, end };
  const waits = JSON.parse(readFileSync(report, 'utf8'));
  return { pid, end, wait: waits.fork, fork: took - waits.fork, childWait: waits.child };
}

/** fork(2) and nothing else: the child has one line to run. Resolves with its end. */
export async function forkPlainly() {
  const pid = plainFork();
  if (pid === 0) _exit(0);
  return endOf(pid);
}

/** Runs `work` and ends the process, as a whole Node process does: nothing of the parent's program is to go on here. */
function endWith(work) {
  try {
    work();
  } catch (error) {
    console.error(`in child ${process.pid}:`, error);
    process.exit(1);
  }
  process.exit(0);
}

/** Waits for a child while the event loop goes on. Resolves with how it ended, in words. */
async function endOf(pid) {
  const deadline = performance.now() + bound;
  for (;;) {
    const status = waitpid(pid, { noHang: true });
    if (status !== null) return status.signalCode ?? `exit ${status.exitCode}`;
    if (performance.now() >= deadline) break;
    await sleep(2);
  }
  process.kill(pid, 'SIGKILL');
  waitpid(pid, { timeout: 5000 });
  return `hung, killed after ${bound / 1000} s`;
}

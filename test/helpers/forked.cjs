/**
 * Children of fork() for the fixtures: each runs one function and has to come to its end.
 *
 * Nothing here blocks the parent's event loop, so that it can show that it goes on.
 */
const assert = require('node:assert/strict');
const { fork, waitpid } = require('../..');
const { describeThreads } = require('./hang.cjs');

/** Milliseconds until a child is taken for hung; below the bound on the fixture. */
const bound = 20_000;

/** Milliseconds; the default is too short where the machine has no processor for the threads that are to be stopped. */
const quiesceTimeout = 10_000;

/** How a child ends whose event loop ran empty before its function had come to its end: something got lost. */
const unfinished = 77;

/**
 * Forks a child that runs `body`; the promise is resolved in the parent only, with the child's pid, so that nothing that
 * awaits it runs in the child. Await it at once.
 *
 * The child leaves naturally, or by process.exit() when `leave` is 'exit'; an error in `body` ends it as an unhandled
 * rejection does. `from(fork, options)` is to call fork(). Further options are those of fork(); it does not warn unless
 * they say so, since what a case prints is looked at.
 */
async function start(body, { leave = 'naturally', from, ...options } = {}) {
  const all = { onMultiThreaded: 'ignore', quiesceTimeout, ...options };
  const pid = from === undefined ? fork(all) : from(fork, all);
  if (pid !== 0) return pid;
  process.exitCode = unfinished;
  await body();
  process.exitCode = 0;
  if (leave === 'exit') process.exit();
  return new Promise(() => {});
}

/**
 * Waits for the end of a child, at most so many milliseconds, and returns its status. One that does not end is described,
 * killed and reaped.
 */
function end(pid, atMost = bound) {
  const self = process.pid;
  const deadline = performance.now() + atMost;
  return new Promise((resolve, reject) => {
    const look = () => {
      if (process.pid !== self) return; // a child forked meanwhile inherits this timer
      const status = waitpid(pid, { noHang: true });
      if (status !== null) return resolve(status);
      if (performance.now() < deadline) return setTimeout(look, 2);
      const threads = describeThreads(pid);
      process.kill(pid, 'SIGKILL');
      waitpid(pid);
      reject(new Error(`child ${pid} did not end:\n${threads}`));
    };
    look();
  });
}

/** How a child ends that exits with `exitCode`. */
const exited = (exitCode) => ({ exitCode, signalCode: null, coreDumped: false });

/** Runs `body` in a child and waits until that has ended with 0. */
async function succeedsInChild(body, options) {
  assert.deepEqual(await end(await start(body, options)), exited(0));
}

module.exports = { end, exited, quiesceTimeout, start, succeedsInChild };

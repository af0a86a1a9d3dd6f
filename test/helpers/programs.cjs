/** What the fixtures of forkExec() share: the system without some of what it has, programs that are looked at. */
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { text } = require('node:stream/consumers');
const { children, forkExec } = require('../..');
const { nativeBinding } = require('../../dist/binding.js');

/** From now on the kernel has none of these: vfork, pidfd, closeRange, proc, with a comma between each; or `plain`. */
function doWithout(names) {
  if (names === 'plain') return;
  const native = nativeBinding();
  const means = Object.fromEntries(names.split(',').map((name) => [name, false]));
  const { runProgram, startProgram } = native;
  native.startProgram = (...request) => startProgram(...request.slice(0, 7), means);
  native.runProgram = (...args) => runProgram(...args.slice(0, 7), means, ...args.slice(8));
  if (means.pidfd === false) native.openPidfd = () => -1;
}

/** Whether nothing is left of a child but its status, for whoever reaps it. */
const hasEnded = (pid) => fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)[0] === 'Z';

/** How a program ends. */
const status = (exitCode, signalCode = null) => ({ exitCode, signalCode, coreDumped: false });

/** A script of the shell, whose standard output is read and whose errors are seen. */
const sh = (script, options) =>
  forkExec('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'], ...options });

/** What it writes; it ends with 0. */
async function outputOf(child) {
  const [output, ended] = await Promise.all([text(child.stdout), child.wait()]);
  assert.deepEqual(ended, status(0));
  return output;
}

/** No child is left, running or not, and no descriptor. */
async function leavesNothing(body) {
  const { fdDifference, openFds, zombieChildren } = await import('./proc.mjs');
  await forkExec('/bin/true').wait(); // whatever is opened at its first use and kept
  await new Promise(setImmediate);
  const before = openFds();
  await body();
  await new Promise(setImmediate);
  assert.deepEqual(fdDifference(before, openFds()), []);
  assert.deepEqual(zombieChildren(), []);
  assert.deepEqual(children(), []);
}

module.exports = { doWithout, hasEnded, leavesNothing, outputOf, sh, status };

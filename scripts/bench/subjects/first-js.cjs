'use strict';
/** A process with nothing in it, that starts others. Argument: the way. */
const childProcess = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { Worker } = require('node:worker_threads');

const { atfork, benchAddon, nowUs, reap, serve, settle } = require('../lib/subject.cjs');

const { fork, waitpid, _exit } = atfork();
const [readEnd, writeEnd] = benchAddon().makePipe();
const firstMessage = path.join(__dirname, 'first-message.cjs');

const way = { fork: byFork, childProcess: byChildProcess, worker: byWorker }[process.argv[2]];

serve({
  settle,

  /**
   * Once. Microseconds from the call to the first JavaScript in the new process or thread, by its own clock
   * (CLOCK_MONOTONIC, which all of them share), and until its first message was here.
   */
  async measure() {
    const { called, firstJs, message } = await way();
    return { firstJs: firstJs - called, message: message - called };
  },
});

function byFork() {
  const called = nowUs();
  const pid = fork();
  if (pid === 0) {
    const firstStatement = process.hrtime.bigint();
    fs.writeSync(writeEnd, new BigInt64Array([firstStatement]));
    _exit(0);
  }
  const stamp = new BigInt64Array(1);
  fs.readSync(readEnd, stamp);
  const message = nowUs();
  reap(waitpid, pid);
  return { called, firstJs: Number(stamp[0]) / 1e3, message };
}

async function byChildProcess() {
  const called = nowUs();
  const child = childProcess.fork(firstMessage, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  return firstMessageOf(child, called);
}

async function byWorker() {
  const called = nowUs();
  return firstMessageOf(new Worker(firstMessage), called);
}

/** @param {import('node:events').EventEmitter} started of either kind: both emit 'message' and 'exit' */
async function firstMessageOf(started, called) {
  const exited = once(started, 'exit');
  const [stamp, message] = await new Promise((resolve) => {
    started.once('message', (text) => resolve([text, nowUs()]));
  });
  await exited;
  return { called, firstJs: Number(BigInt(stamp)) / 1e3, message };
}

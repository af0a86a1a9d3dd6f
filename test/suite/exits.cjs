/** How a forked child ends. */
const { deepEqual } = require('node:assert/strict');
const { spawn } = require('node:child_process');
const crypto = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const tls = require('node:tls');
const { promisify } = require('node:util');
const { Worker } = require('node:worker_threads');
const { _exit, fork } = require('../..');
const { end, exited, start, succeedsInChild } = require('../helpers/forked.cjs');
const { runCase } = require('./case.cjs');

/** Each of them in a child, and in a child of that. */
async function bothWays(body) {
  await succeedsInChild(body);
  await succeedsInChild(body, { leave: 'exit' });
  await succeedsInChild(() => succeedsInChild(body));
}

void runCase({
  /** With nothing left to do, straight from the script's end. */
  async naturally() {
    const pid = fork();
    if (pid === 0) return void (process.exitCode = 7);
    deepEqual(await end(pid), exited(7));
  },

  /** 'exit' listeners run, the parent's too, and have the last word. */
  async byExit() {
    const order = [];
    process.once('exit', () => order.push('inherited'));
    const pid = await start(() => {
      process.once('exit', (code) => {
        process.exitCode = code + order.push('own');
      });
      process.exit(7);
    });
    deepEqual(await end(pid), exited(9));
    deepEqual(order, []);
    process.removeAllListeners('exit');
  },

  async atOnce() {
    deepEqual(await end(await start(() => _exit(7))), exited(7));
  },

  /** Nobody listens. */
  async bySignal() {
    for (const signalCode of ['SIGTERM', 'SIGINT', 'SIGKILL']) {
      const pid = await start(() => new Promise(() => setInterval(() => {}, 1000)));
      process.kill(pid, signalCode);
      deepEqual(await end(pid), { exitCode: null, signalCode, coreDumped: false });
    }
  },

  /** All at the same moment: at its exit Node runs an event loop that it has had from its start. */
  async together() {
    for (let round = 0; round < 10; ++round) {
      const moment = Date.now() + 200;
      const wait = () => {
        while (Date.now() < moment);
      };
      const pids = [];
      while (pids.length < 4) pids.push(await start(wait, { leave: 'exit' }));
      for (const pid of pids) deepEqual(await end(pid), exited(0));
    }
  },

  /** A program that its parent has started goes on; whether it ends, the child never hears. */
  async besideProcess() {
    const program = spawn('sleep', ['1000'], { stdio: 'ignore' });
    await bothWays(() => {});
    program.kill();
    await once(program, 'exit');
  },

  async afterPoolWork() {
    const work = () =>
      Promise.all([promisify(crypto.pbkdf2)('a', 'b', 1000, 32, 'sha1'), fs.promises.readFile(__filename)]);
    await work();
    await bothWays(() => {});
    await bothWays(work);
  },

  /** Newer Nodes load the certificates in a thread of their own, which ends by itself and is joined at the exit. */
  async afterRootCertificates() {
    const load = () => tls.createSecureContext();
    await bothWays(load);
    load();
    await bothWays(() => {});
    await bothWays(load);
  },

  /** The stacks of joined threads are kept by libc, for the next ones. */
  async afterWorkers() {
    const run = () => Promise.all([1, 2, 3].map(() => once(new Worker('', { eval: true }), 'exit')));
    await run();
    await bothWays(() => {});
    await bothWays(run);
    await run();
  },
});

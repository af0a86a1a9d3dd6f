/** Workers of the parent: they go on there, whatever they are doing, and have an end in the child. */
const { deepEqual, equal } = require('node:assert/strict');
const { once } = require('node:events');
const { setTimeout: pause } = require('node:timers/promises');
const { Worker } = require('node:worker_threads');
const { end, exited, start } = require('../helpers/forked.cjs');
const { runCase } = require('./case.cjs');

/** Each counts in `beats[0]` what it has done; the main thread may wake it by `beats[1]`. */
const prologue = `
  const { Worker, parentPort, workerData: beats } = require('node:worker_threads');
  const beat = () => Atomics.add(beats, 0, 1);
  `;
const sources = {
  idle: `parentPort.on('message', beat);`,
  timer: `setInterval(beat, 1);`,
  busy: `for (;;) beat();`,
  garbage: `for (;;) { const some = []; for (let i = 0; i < 1e4; ++i) some.push({ i, text: 'x' + i }); beat(); }`,
  atomics: `for (;;) { Atomics.wait(beats, 1, 0); beat(); }`,
  crypto: `
    const crypto = require('node:crypto');
    const hash = () => crypto.pbkdf2('a', 'b', 1000, 32, 'sha1', () => { beat(); hash(); });
    hash();`,
  cryptoSync: `
    const crypto = require('node:crypto');
    for (;;) { crypto.createHash('sha256').update(crypto.randomBytes(1000)).digest(); beat(); }`,
  files: `
    const fs = require('node:fs');
    const read = () => fs.readFile('/etc/passwd', () => { fs.readFileSync('/etc/passwd'); beat(); read(); });
    read();`,
  messages: `
    const { port1, port2 } = new MessageChannel();
    port2.on('message', (value) => { beat(); port1.postMessage(value); });
    port1.postMessage(new Array(100).fill('message'));`,
  wasm: `
    const bytes = Buffer.from('0061736d010000000105016000017f03020100070501016600000a06010400412a0b', 'hex');
    const compile = async () => {
      for (;;) { if ((await WebAssembly.instantiate(bytes)).instance.exports.f() === 42) beat(); }
    };
    compile();`,
};
const nested = `
  const inner = new Worker(${JSON.stringify(`${prologue}setInterval(beat, 1);`)}, { eval: true, workerData: beats });
  setInterval(() => {}, 1);`;

class Beating {
  constructor(source) {
    this.beats = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
    this.worker = new Worker(prologue + source, { eval: true, workerData: this.beats });
    this.exit = once(this.worker, 'exit');
  }

  /** Resolves once the Worker has done something more. The bound on the whole case bounds it. */
  async beat() {
    const before = Atomics.load(this.beats, 0);
    while (Atomics.load(this.beats, 0) === before) {
      this.worker.postMessage(null);
      Atomics.notify(this.beats, 1);
      await pause(1);
    }
  }

  async terminate() {
    await this.worker.terminate();
    await this.exit;
  }
}

/** Milliseconds. So many busy threads need a while on a small machine. */
const quiesceTimeout = 10_000;

/** Several forks, with such Workers at work. */
async function forkBeside(...kinds) {
  const workers = kinds.map((source) => new Beating(source));
  await Promise.all(workers.map((worker) => worker.beat()));
  for (let i = 0; i < 4; ++i) {
    const pid = await start(
      async () => {
        const ends = await Promise.all(workers.map((worker) => worker.exit));
        deepEqual(
          ends,
          kinds.map(() => [1]),
        );
        deepEqual(
          workers.map(({ worker }) => worker.threadId),
          kinds.map(() => -1),
        );
        if (i % 2 === 0) await ownWorker();
      },
      { quiesceTimeout, leave: i < 2 ? 'naturally' : 'exit' },
    );
    await Promise.all(workers.map((worker) => worker.beat()));
    deepEqual(await end(pid), exited(0));
    await Promise.all(workers.map((worker) => worker.beat()));
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
}

/** A Worker that the child starts itself is like any other. */
async function ownWorker() {
  const own = new Beating(sources.timer);
  await own.beat();
  await own.terminate();
  equal(own.worker.threadId, -1);
}

/** A child that pays no heed to its parent's Workers is not kept from its end. */
async function leftAlone(leave) {
  const workers = Object.values(sources).map((source) => new Beating(source));
  await Promise.all(workers.map((worker) => worker.beat()));
  for (let i = 0; i < 3; ++i) {
    deepEqual(await end(await start(() => {}, { quiesceTimeout, leave })), exited(0));
  }
  await Promise.all(workers.map((worker) => worker.beat()));
  await Promise.all(workers.map((worker) => worker.terminate()));
}

const each = Object.entries({ ...sources, nested }).map(([name, source]) => [name, () => forkBeside(source)]);

void runCase({
  ...Object.fromEntries(each),
  all: () => forkBeside(...Object.values(sources), nested),
  leftAloneNaturally: () => leftAlone('naturally'),
  leftAloneByExit: () => leftAlone('exit'),
});

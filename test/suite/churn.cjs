/** Many forks of a process that does everything at once. Argument: how many. */
const { deepEqual, equal } = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const { promisify } = require('node:util');
const { Worker } = require('node:worker_threads');
const { end, exited, start } = require('../helpers/forked.cjs');
const { runCase } = require('./case.cjs');

const hash = promisify(crypto.pbkdf2);

/** Children that live at the same time. */
const together = 3;

const workerSources = [
  `const crypto = require('node:crypto');
   setInterval(() => {
     for (let i = 0; i < 5; ++i) crypto.createHash('sha256').update(crypto.randomBytes(1000)).digest();
     crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
   }, 1);`,
  `let i = 0; setInterval(() => { for (let k = 0; k < 1000; ++k) process.env['X' + (i++ % 50)] = String(i); }, 1);`,
  `const { threadId, parentPort } = require('node:worker_threads');
   setInterval(() => parentPort.postMessage(new Array(100).fill(threadId)), 1);`,
  `const fs = require('node:fs');
   setInterval(() => {
     JSON.stringify(Array.from({ length: 20_000 }, (_, i) => ({ i })));
     fs.readFileSync('/etc/passwd');
     fs.readFile('/etc/passwd', () => {});
   }, 1);`,
  `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);`,
  `for (;;) JSON.parse('[1, 2, { "a": "b" }]');`,
];

const garbage = (count) => Array.from({ length: count }, (_, i) => ({ i, text: `garbage ${i}` }));

/** What a child does before it leaves, one way or the other. */
async function live(number) {
  const some = garbage(20_000);
  if (number % 3 === 0) gc();
  equal(some[777].i, 777);
  await Promise.all([fs.promises.readFile(__filename), hash('a', 'b', 100, 32, 'sha1')]);
}

void runCase({
  async forks(argument) {
    const count = Number(argument);
    const self = process.pid;
    const data = garbage(100_000);
    const workers = workerSources.map((source) => new Worker(source, { eval: true }));
    let working = true;
    const poolWork = async () => {
      while (working && process.pid === self)
        await Promise.all([hash('a', 'b', 2000, 32, 'sha1'), fs.promises.stat('/')]);
    };
    const pool = [1, 2, 3, 4].map(poolWork);

    const children = new Set();
    for (let number = 0; number < count; ++number) {
      for (let k = 0; k < 20_000; ++k) data[(number * 7919 + k) % data.length] = { k };
      if (number % 10 === 9) new Worker('', { eval: true });
      const leave = number % 2 === 0 ? 'naturally' : 'exit';
      const pid = await start(() => live(number), { leave, quiesceTimeout: 10_000 });
      const child = end(pid).then((status) => {
        deepEqual(status, exited(0), `child ${number} of ${count}`);
        children.delete(child);
      });
      children.add(child);
      while (children.size >= together) await Promise.race(children);
    }
    await Promise.all(children);
    working = false;
    await Promise.all(pool);
    await Promise.all(workers.map((worker) => worker.terminate()));
  },
});

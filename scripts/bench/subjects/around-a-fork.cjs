'use strict';
/** A process with connections and Workers, that forks with all that belongs to it and without. Arguments: how many of each. */
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { setTimeout: delay } = require('node:timers/promises');
const { Worker } = require('node:worker_threads');

const { atfork, nowUs, reap, serve, settle } = require('../lib/subject.cjs');

const [sockets, workers] = process.argv.slice(2).map(Number);
const { fork, registerAtFork, waitpid, _exit } = atfork();
const dist = path.dirname(require.resolve('../../../dist/index.js'));
const { nativeBinding } = require(path.join(dist, 'binding.js'));
const { endWorkers } = require(path.join(dist, 'internal', 'workers.js'));
const native = nativeBinding();

/** The child's words come here, as an hrtime(3) of microseconds. */
const report = path.join(fs.mkdtempSync('/tmp/around-a-fork-'), 'report');
const fd = fs.openSync(report, 'w+');
fs.rmSync(path.dirname(report), { recursive: true });

serve({
  /** `pairs` times both. Microseconds until it returns on each side. */
  async measure(pairs, hooks) {
    const kept = await populate();
    await settle();
    const all = [];
    const bare = [];
    for (let pair = -2; pair < pairs; ++pair) {
      const turns = [async () => all.push(await withHooks(hooks)), async () => bare.push(await timedFork(bareFork))];
      for (const turn of pair % 2 === 0 ? turns : turns.toReversed()) await turn();
      // What is compiled or opened at its first use.
      if (pair < 0) all.length = bare.length = 0;
    }
    kept.forEach((each) => each());
    return { all, bare };
  },
});

/** Both ends of the connections are here. Returns what ends all that. */
async function populate() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const ends = [];
  while (ends.length < sockets) {
    const client = net.connect(server.address().port, '127.0.0.1');
    const [[accepted]] = await Promise.all([once(server, 'connection'), once(client, 'connect')]);
    ends.push(client, accepted);
  }
  const threads = Array.from({ length: workers }, () => new Worker('setInterval(() => {}, 1e6)', { eval: true }));
  await Promise.all(threads.map((thread) => once(thread, 'online')));
  return [
    () => server.close(),
    () => ends.forEach((end) => end.destroy()),
    () => threads.forEach((thread) => void thread.terminate()),
  ];
}

async function withHooks(count) {
  const hook = () => {};
  const registered = Array.from({ length: count }, () =>
    registerAtFork({ before: hook, afterInParent: hook, afterInChild: hook }),
  );
  const times = await timedFork(fork);
  registered.forEach((each) => each.unregister());
  return times;
}

/** What the child needs to be complete, and nothing around it. */
function bareFork() {
  const pid = native.fork(10_000, 1000, false, 0, 0, undefined);
  if (pid === 0) {
    endWorkers(native);
    native.releaseWorkers();
  }
  return pid;
}

async function timedFork(forkOnce) {
  await delay(2);
  const words = new Float64Array(1);
  const begin = nowUs();
  const pid = forkOnce();
  if (pid === 0) {
    words[0] = nowUs();
    fs.writeSync(fd, words, 0, words.byteLength, 0);
    _exit(0);
  }
  const end = nowUs();
  if (typeof pid !== 'number') throw new Error(pid.message);
  reap(waitpid, pid);
  fs.readSync(fd, words, 0, words.byteLength, 0);
  return { parent: end - begin, child: words[0] - begin };
}

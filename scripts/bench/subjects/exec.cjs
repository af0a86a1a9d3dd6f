'use strict';
/** A process that starts programs in several ways. Arguments: megabytes that it has touched. */
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { readdirSync } = require('node:fs');

const { atfork, benchAddon, nowUs, serve, settle, timed } = require('../lib/subject.cjs');

const { forkExec } = atfork();
const bench = benchAddon();
const chunk = 64;
const memory = Array.from({ length: Math.ceil(Number(process.argv[2]) / chunk) }, () => Buffer.alloc(chunk << 20, 1));

const quiet = { stdio: 'ignore' };

/** Each starts /bin/true, and resolves to the microseconds for which it blocked when that has ended. */
const starts = {
  async forkExec(options = quiet) {
    let child;
    const us = timed(() => {
      child = forkExec('/bin/true', [], options);
    });
    check((await child.wait()).exitCode);
    return us;
  },
  withIds: () => starts.forkExec({ ...quiet, uid: 65534, gid: 65534 }),
  async spawn() {
    let child;
    const us = timed(() => {
      child = spawn('/bin/true', [], quiet);
    });
    check((await once(child, 'exit'))[0]);
    return us;
  },
  async posixSpawn() {
    const [us] = bench.spawns(1);
    return us;
  },
};

/** Each resolves to the microseconds until the first byte of a program's output is there. */
const outputs = {
  forkExec: () => firstByte(() => forkExec('/bin/echo', ['word'], { stdio: ['ignore', 'pipe', 'ignore'] })),
  spawn: () => firstByte(() => spawn('/bin/echo', ['word'], { stdio: ['ignore', 'pipe', 'ignore'] })),
};

function check(exitCode) {
  if (exitCode !== 0) throw new Error(`/bin/true: ${exitCode}`);
}

async function firstByte(start) {
  const began = nowUs();
  const child = start();
  const closed = once(child, 'close');
  await once(child.stdout, 'data');
  const us = nowUs() - began;
  await closed;
  return us;
}

serve({
  async settle() {
    await settle();
    return memory.length;
  },
  ...starts,
  async warmUp(count) {
    for (let i = 0; i < count; ++i) await starts.forkExec();
  },
  /** Microseconds. */
  firstByteOfForkExec: outputs.forkExec,
  firstByteOfSpawn: outputs.spawn,

  /** How many are started and reaped in a second, one after the other, when `count` are. */
  async rate(way, count) {
    const began = nowUs();
    if (way === 'posixSpawn') bench.spawns(count);
    else for (let i = 0; i < count; ++i) await starts[way]();
    return count / ((nowUs() - began) / 1e6);
  },

  /** From now on all this process does, it does on one processor. */
  pin() {
    for (const tid of readdirSync('/proc/self/task')) {
      if (!bench.pin(Number(tid))) throw new Error(`sched_setaffinity: ${tid}`);
    }
  },
});

/** The threads of libuv's pool, as the kernel sees them. */
const fs = require('node:fs');
const { threads } = require('../..');

const futex = { x64: 202, arm64: 98 }[process.arch];

/** The ids of those that do not sleep on a futex. */
function threadsAtWork() {
  const pool = threads().filter(({ kind }) => kind === 'libuv-pool');
  return pool.filter(({ tid }) => {
    const call = fs.readFileSync(`/proc/self/task/${tid}/syscall`, 'latin1').split(' ')[0];
    return call === 'running' || Number(call) !== futex;
  });
}

module.exports = { threadsAtWork };

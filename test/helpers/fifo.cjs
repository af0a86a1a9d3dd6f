/** libuv's pool in the middle of its work: reading what nobody writes. */
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const tick = () => new Promise(setImmediate);

/** A FIFO in a folder of its own, open at both ends, which goes with the process that made it. */
function openFifo() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'atfork-'));
  const self = process.pid;
  process.on('exit', () => process.pid === self && fs.rmSync(folder, { recursive: true }));
  execFileSync('mkfifo', [path.join(folder, 'fifo')]);
  return { folder, name: path.join(folder, 'fifo'), fd: fs.openSync(path.join(folder, 'fifo'), 'r+') };
}

/** Resolves to the byte, or to the code of the error. */
function readByte(fd) {
  const byte = Buffer.alloc(1);
  return new Promise((resolve) => {
    fs.read(fd, byte, 0, 1, null, (error, count) => resolve(error?.code ?? String.fromCharCode(byte[0]).repeat(count)));
  });
}

/** Until so many threads of this process stand in a read(2) or an open(2) of the FIFO. */
async function untilThreadsWait(count) {
  const calls = { x64: [0, 2, 257], arm64: [63, 56] }[process.arch];
  const waiting = () =>
    fs.readdirSync('/proc/self/task').filter((thread) => {
      const call = fs.readFileSync(`/proc/self/task/${thread}/syscall`, 'latin1').split(' ')[0];
      return Number(thread) !== process.pid && calls.includes(Number(call));
    });
  while (waiting().length < count) await tick();
}

module.exports = { openFifo, readByte, untilThreadsWait };

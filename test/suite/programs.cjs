/**
 * Programs in great numbers, by forkExec(). Arguments: the case; how many; how many between two lines of progress.
 *
 * oneThird: a third of them fail to start. Nothing is left: no zombie, no descriptor, no handle, no memory.
 * workers:  from four Workers and the main thread at once. Each program finds its own descriptors, and no others.
 */
const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const { children, forkExec } = require('../..');

/** How many at a time, of a thread. */
const abreast = 4;
/** How much more memory there may be in the end than after the first tenth. */
const mostGrowth = 1.05;

/** Runs `body(i)` for each, some at a time. */
async function forEach(count, every, body) {
  let next = 0;
  const run = async () => {
    for (let i; (i = next++) < count;) {
      await body(i);
      if ((i + 1) % every === 0) console.log(`${i + 1} programs`);
    }
  };
  await Promise.all(Array.from({ length: abreast }, run));
}

function startFails(code, ...args) {
  try {
    forkExec(...args);
  } catch (error) {
    assert.equal(error.code, code);
    return;
  }
  assert.fail(`it started: ${args[0]}`);
}

const cases = {
  async oneThird(count, every) {
    const { fdDifference, openFds, zombieChildren } = await import('../helpers/proc.mjs');
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'atfork-'));
    const plain = path.join(folder, 'plain');
    fs.writeFileSync(plain, '');
    const failing = [
      () => startFails('ENOENT', '/nowhere/to/be/found'),
      () => startFails('EACCES', plain),
      () => startFails('ENOENT', '/bin/true', [], { cwd: path.join(folder, 'none') }),
    ];
    let failed = 0;
    const one = async (i) => {
      if (i % 3 === 2) return failing[failed++ % failing.length]();
      const options = i % 2 === 0 ? { stdio: 'ignore' } : undefined;
      const child = forkExec('/bin/true', [], options);
      const closed = once(child, 'close');
      assert.equal((await child.wait()).exitCode, 0);
      await closed;
    };
    const resident = async () => {
      for (let i = 0; i < 5; ++i) {
        globalThis.gc();
        await new Promise(setImmediate);
      }
      return process.memoryUsage.rss();
    };
    const first = Math.ceil(count / 10);
    await forEach(first, every, one);
    const before = openFds();
    const rss = await resident();
    await forEach(count - first, every, one);
    const growth = (await resident()) / rss;
    assert.deepEqual(fdDifference(before, openFds()), []);
    assert.deepEqual([zombieChildren(), children()], [[], []]);
    fs.rmSync(folder, { recursive: true });
    const growths = `${Math.round(rss / 2 ** 20)} MB resident x ${growth.toFixed(3)}`;
    // Of a few there is nothing to be said: the engine still grows into its heap.
    assert.ok(count < 10_000 || growth < mostGrowth, growths);
    console.log(`at the end: ${count} programs, ${failed} of them did not start; no zombie, no descriptor; ${growths}`);
  },

  async workers(count, every) {
    const share = Math.ceil(count / 5);
    const workers = Array.from({ length: 4 }, (_, i) => {
      return new Worker(__filename, { workerData: { share, name: `worker ${i}` } });
    });
    const messages = workers.map((worker) => once(worker, 'message'));
    const exits = workers.map((worker) => once(worker, 'exit'));
    await ofThread('main thread', share, every);
    const rounds = (await Promise.all(messages)).map(([done]) => done);
    assert.deepEqual(rounds, [share, share, share, share]);
    await Promise.all(exits);
    const { zombieChildren } = await import('../helpers/proc.mjs');
    assert.deepEqual(zombieChildren(), []);
    console.log(`at the end: ${5 * share} programs of 5 threads, each with its own descriptors and no others`);
  },
};

/**
 * What it reads is what was written to it, and it has nothing but its stdio and one descriptor that it was given, as
 * fd 3. The last in the list is what it lists them by.
 */
const script = 'read -r line; read -r passed <&3; echo "$line $passed"; ls /proc/self/fd; echo "$line" >&2';

async function ofThread(name, count, every) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'atfork-'));
  await forEach(count, every, async (i) => {
    const line = `${name}, ${i}`;
    const file = path.join(folder, String(i));
    fs.writeFileSync(file, `file of ${line}\n`);
    const fd = fs.openSync(file);
    const child = forkExec('/bin/sh', ['-c', script], { stdio: ['pipe', 'pipe', 'pipe', fd] });
    fs.closeSync(fd);
    fs.unlinkSync(file);
    child.stdin.end(`${line}\n`);
    const texts = [child.stdout, child.stderr].map(async (stream) => {
      let text = '';
      for await (const chunk of stream) text += chunk;
      return text;
    });
    const [output, errors] = await Promise.all(texts);
    assert.equal(output, `${line} file of ${line}\n0\n1\n2\n3\n4\n`);
    assert.equal(errors, `${line}\n`);
    assert.equal((await child.wait()).exitCode, 0);
  });
  fs.rmSync(folder, { recursive: true });
  return count;
}

void (async () => {
  if (!isMainThread) {
    parentPort.postMessage(await ofThread(workerData.name, workerData.share, Infinity));
    return;
  }
  const [testCase, count, every = 'Infinity'] = process.argv.slice(2);
  await cases[testCase](Number(count), Number(every));
  console.log('done');
})();

'use strict';
/** A process with something in its memory, that forks with the library and without, in turns. Argument: the content. */
const { setTimeout: delay } = require('node:timers/promises');

const { atfork, benchAddon, serve, settle, timedFork } = require('../lib/subject.cjs');

const contents = {
  blank: () => null,
  '256 MB Buffers': () => buffers(256),
  '3M objects': () => Array.from({ length: 3e6 }, (_, index) => ({ index, inner: { index } })),
  '1.5 GB Buffers': () => buffers(1536),
};

const content = contents[process.argv[2]]();
const library = atfork();
const bench = benchAddon();

serve({
  /** `pairs` times both, each first as often as the other. Microseconds. */
  async measure(pairs) {
    await settle();
    await rawFork();
    await ourFork();
    const raw = [];
    const ours = [];
    for (let pair = 0; pair < pairs; ++pair) {
      if (pair % 2 === 0) raw.push(await rawFork());
      ours.push(await ourFork());
      if (pair % 2 !== 0) raw.push(await rawFork());
    }
    return { raw, ours, kept: content?.length };
  },
});

function buffers(count) {
  return Array.from({ length: count }, () => Buffer.alloc(2 ** 20, 1));
}

/**
 * What the process does between two forks: a fork has every page that it writes to copied, or taken back, and those are this
 * fork's costs, not the next one's.
 */
async function goOn() {
  await delay(1);
  for (const end = performance.now() + 2; performance.now() < end;) {
    JSON.parse(JSON.stringify(Array.from({ length: 100 }, (_, index) => ({ index }))));
  }
  bench.readMarks(); // warms the page tables
}

/** What nobody could do without: _Fork with V8's heap included, called from JavaScript as ours is. Its child has no use. */
async function rawFork() {
  await goOn();
  return timedFork({ ...library, fork: bench.forkWithHeap });
}

async function ourFork() {
  await goOn();
  return timedFork(library);
}

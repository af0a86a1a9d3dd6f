'use strict';
/** A process with something in its memory, that forks with the library and without, in turns. Argument: the content. */
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
    rawFork();
    ourFork();
    const raw = [];
    const ours = [];
    for (let pair = 0; pair < pairs; ++pair) {
      if (pair % 2 === 0) raw.push(rawFork());
      ours.push(ourFork());
      if (pair % 2 !== 0) raw.push(rawFork());
    }
    return { raw, ours, kept: content?.length };
  },
});

function buffers(count) {
  return Array.from({ length: count }, () => Buffer.alloc(2 ** 20, 1));
}

/** What nobody could do without: _Fork with V8's heap included. */
function rawFork() {
  bench.readMarks();
  bench.includeMarked();
  const { parent } = bench.rawFork();
  bench.leaveOutMarked();
  return parent;
}

function ourFork() {
  bench.readMarks(); // as before the raw fork: reading smaps warms the page tables
  return timedFork(library);
}

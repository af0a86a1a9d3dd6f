'use strict';
/** A process that draws numbers, and so does a child of it. Argument: `atfork`, or `plain`, which does not fork. */
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { atfork, reap, serve, settle, timed } = require('../lib/subject.cjs');

const r = Math.random;
const library = process.argv[2] === 'atfork' ? atfork() : null;
const calls = 5e6;

function draw() {
  let sum = 0;
  const us = timed(() => {
    for (let i = 0; i < calls; ++i) sum += r();
  });
  if (sum < calls * 0.4 || sum > calls * 0.6) throw new Error(`${calls} numbers have the sum ${sum}`);
  return us;
}

/** Where the child leaves what it has measured. */
const report = path.join(os.tmpdir(), `atfork-random-${process.pid}`);

serve({
  settle,

  /** Microseconds for `calls` numbers on each side. */
  draw() {
    if (library === null) return { parent: draw() };
    const pid = library.fork();
    if (pid === 0) {
      fs.writeFileSync(report, String(draw()));
      library._exit(0);
    }
    reap(library.waitpid, pid);
    const child = Number(fs.readFileSync(report, 'utf8'));
    fs.unlinkSync(report);
    return { parent: draw(), child };
  },
});

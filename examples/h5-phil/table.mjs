/** What the example prints of its forks. */

export const explanation = `
A plain fork(2) leaves V8's heap out of the child, which dies on its first line of JavaScript. fork() takes the heap
along, and brings the threads back that V8 and Node rely on. It waits until no Worker holds the lock: the child finds it
free, with nobody to wait for.

h5wasm is WebAssembly: every Worker has an HDF5 library with a heap of its own. What is shared here is the lock and the
files, and not, as in h5py, the state of one library.
`;

const ms = (value) => (value === undefined ? '' : `${value.toFixed(value < 10 ? 2 : 0)} ms`);

const columns = [
  ['child', (_, n) => String(n)],
  ['pid', ({ pid }) => String(pid ?? '')],
  ['lock held by', ({ holder }) => holder ?? 'nobody'],
  ['wait for it', ({ wait }) => ms(wait)],
  ['fork', ({ fork }) => ms(fork)],
  ["child's wait", ({ childWait }) => ms(childWait)],
  ['child of fork()', ({ end }) => end],
  ['of plain fork(2)', ({ plain }) => plain],
];

/** One line per fork, under a line of headings. */
export function tableOf(results) {
  const cells = [
    columns.map(([heading]) => heading),
    ...results.map((row, n) => columns.map(([, cell]) => cell(row, n))),
  ];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i].length)));
  return cells
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `9 x exit 0, 1 x SIGSEGV` */
export function tally(ends) {
  return [...new Set(ends)].map((end) => `${ends.filter((other) => other === end).length} x ${end}`).join(', ');
}

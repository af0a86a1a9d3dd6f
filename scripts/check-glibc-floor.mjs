/**
 * Checks that the addon asks for nothing newer than what Debian 11 has: glibc 2.31 and the libstdc++ of GCC 10. It reads
 * the versions of the undefined dynamic symbols with objdump(1).
 *
 *   node scripts/check-glibc-floor.mjs [file ...]      default: build/Release/atfork.node
 *
 * Prints one line per breach and exits with 1 when there is one. What glibc moved goes into native/posix/glibc_compat.h;
 * what is new altogether has to be reached without it (syscall(2), another function).
 */
import path from 'node:path';

import { outputOf, root } from './lib/run.mjs';

/** The newest version that may be asked for, by the name in front of it. */
const floors = {
  GLIBC: [2, 31],
  GLIBCXX: [3, 4, 28],
  CXXABI: [1, 3, 12],
  GCC: [10, 0, 0],
};

const named = process.argv.slice(2);
const files = named.length > 0 ? named : [path.join(root, 'build', 'Release', 'atfork.node')];
const breaches = files.flatMap((file) =>
  neededSymbols(file)
    .filter(({ family, version }) => isNewer(version, floors[family]))
    .map(({ symbol, family, version }) => `${file}: ${symbol} asks for ${family}_${version.join('.')}`),
);

for (const breach of breaches) console.error(breach);
if (breaches.length === 0)
  console.log(`check-glibc-floor: nothing newer than glibc ${floors.GLIBC.join('.')} is asked for`);
process.exitCode = breaches.length === 0 ? 0 : 1;

/** What has a version among the symbols that the dynamic linker has to find elsewhere. */
function neededSymbols(file) {
  return outputOf('objdump', ['--dynamic-syms', file])
    .split('\n')
    .map((line) => /\*UND\*\s+[0-9a-f]+\s+\(?([A-Z]+)_([0-9.]+)\)?\s+(\S+)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, family, version, symbol]) => ({ symbol, family, version: version.split('.').map(Number) }));
}

/** A family that is not listed has no floor to keep: nothing of it may be asked for. */
function isNewer(version, floor) {
  if (floor === undefined) return true;
  for (const [i, part] of version.entries()) {
    const bound = floor[i] ?? 0;
    if (part !== bound) return part > bound;
  }
  return false;
}

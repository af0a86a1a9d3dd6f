/**
 * Checks that the child zone calls async-signal-safe functions only: the undefined symbols of its objects, as nm(1) lists
 * them, must be in lib/async-signal-safe.mjs or be defined by another object of the zone.
 *
 *   node scripts/check-child-zone.mjs [folder with the objects]
 *
 * Prints one line per breach and exits with 1 when there is one, or when an object is missing.
 */
import path from 'node:path';

import { justified, posixSafe } from './lib/async-signal-safe.mjs';
import { filesBelow } from './lib/files.mjs';
import { outputOf, root } from './lib/run.mjs';

const built = 'build/Release/obj.target/core/native/child';
const folder = path.resolve(process.argv[2] ?? path.join(root, built));
const objects = filesBelow(folder).filter((file) => file.endsWith('.o'));

const own = new Set(objects.flatMap((object) => symbols(object, '--defined-only')));
const breaches = objects.flatMap((object) =>
  symbols(object, '--undefined-only')
    .filter((symbol) => !posixSafe.has(symbol) && !justified.has(symbol) && !own.has(symbol))
    .map((symbol) => `${object}: ${symbol} is not known to be async-signal-safe`),
);
if (process.argv[2] === undefined) breaches.push(...missingObjects());
if (objects.length === 0) breaches.push(`no objects in ${folder}`);

for (const breach of breaches) console.error(breach);
if (breaches.length === 0) console.log(`check-child-zone: ${String(objects.length)} objects are async-signal-safe`);
process.exitCode = breaches.length === 0 ? 0 : 1;

function symbols(object, which) {
  return outputOf('nm', ['--format=posix', which, path.join(folder, object)])
    .split('\n')
    .map((line) => line.split(' ')[0])
    .filter((symbol) => symbol !== '');
}

/** A source that binding.gyp does not build into the zone would go unchecked. */
function missingObjects() {
  return filesBelow(path.join(root, 'native', 'child'))
    .filter((file) => file.endsWith('.cc'))
    .filter((file) => !objects.includes(file.replace(/\.cc$/, '.o')))
    .map((file) => `native/child/${file}: not built as ${built}/${file.replace(/\.cc$/, '.o')}`);
}

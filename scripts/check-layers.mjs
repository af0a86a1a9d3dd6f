/**
 * Checks who includes and imports whom: each layer knows itself and the layers below it, nothing above.
 *
 *   native   child <- posix <- runtime <- binding <- addon.cc
 *   lib      internal, errors <- binding <- census <- process, locks <- server <- pool <- harness <- index
 *
 * and, in native, which headers of the outside world a layer may see. Modules of lib must not import in a circle.
 *
 *   node scripts/check-layers.mjs [folder with native/ and lib/]
 *
 * Prints one line per breach and exits with 1 when there is one.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import ts from 'typescript';

import { filesBelow } from './lib/files.mjs';
import { root } from './lib/run.mjs';

const nativeLayers = ['child', 'posix', 'runtime', 'binding', 'addon.cc'];
const libLayers = [
  ['internal', 'errors'],
  ['binding'],
  ['census'],
  ['process', 'locks'],
  ['server'],
  ['pool'],
  ['harness'],
  ['index'],
];

/** Headers that only some native layers may include; `null` is no layer at all. */
const headerRules = [
  { header: /^(napi|node_api|js_native_api)\.h$/, lowest: 'binding', why: 'only the binding knows JavaScript' },
  { header: /^uv(\/|\.h$)/, lowest: 'runtime', why: 'posix and child know nothing of libuv' },
  { header: /^(node|v8)[-\w]*\.h$/, lowest: null, why: 'Node-API only, or one binary would not serve all Node lines' },
];
const nodeApi = headerRules[0].header;

const base = path.resolve(process.argv[2] ?? root);
const breaches = [...checkNative(), ...checkLib()];
for (const breach of breaches) console.error(breach);
if (breaches.length === 0) console.log('check-layers: every include and import points down');
process.exitCode = breaches.length === 0 ? 0 : 1;

function checkNative() {
  const sources = filesBelow(path.join(base, 'native')).filter((file) => /\.(cc|h)$/.test(file));
  return sources.flatMap((file) =>
    [...readFileSync(path.join(base, 'native', file), 'utf8').matchAll(/^\s*#\s*include\s*([<"])([^>"]+)[>"]/gm)]
      .map(([, quote, header]) => (quote === '<' ? checkSystemHeader(file, header) : checkOwnHeader(file, header)))
      .filter((breach) => breach !== null)
      .map((breach) => `native/${file}: ${breach}`),
  );
}

/** `include/` is the public C interface: below every layer, it may be included by each and sees none of them. */
function nativeRank(file) {
  const [top] = file.split('/');
  return top === 'include' ? -1 : nativeLayers.indexOf(top);
}

function checkOwnHeader(file, header) {
  if (!existsSync(path.join(base, 'native', header))) return `"${header}" is not a path below native/`;
  const from = nativeRank(file);
  if (from === -1 && !file.startsWith('include/')) return `it is in no layer (${nativeLayers.join(', ')})`;
  return nativeRank(header) > from ? `includes "${header}" of a higher layer` : null;
}

function checkSystemHeader(file, header) {
  const rank = nativeRank(file);
  for (const rule of headerRules) {
    if (!rule.header.test(header)) continue;
    const lowest = rule.lowest === null ? Infinity : nativeLayers.indexOf(rule.lowest);
    if (rank < lowest) return `includes <${header}>: ${rule.why}`;
  }
  // The binding turns values into structs; what the system offers has a name of ours in posix/.
  const isSystem = /\.h$/.test(header) || header === 'csignal';
  if (rank >= nativeLayers.indexOf('binding') && isSystem && !nodeApi.test(header)) {
    return `includes <${header}>: the binding makes no system calls`;
  }
  return null;
}

function checkLib() {
  const imports = new Map(
    filesBelow(path.join(base, 'lib'))
      .filter((file) => file.endsWith('.ts'))
      .map((file) => [file, importsOf(file)]),
  );
  const breaches = [...imports].flatMap(([file, targets]) => {
    if (libRank(file) === -1) return [`lib/${file}: it is in no layer (${libLayers.flat().join(', ')})`];
    return targets
      .filter((target) => libRank(target) > libRank(file))
      .map((target) => `lib/${file}: imports lib/${target} of a higher layer`);
  });
  return [...breaches, ...circles(imports)];
}

function libRank(file) {
  const [top] = file.split('/');
  return libLayers.findIndex((names) => names.includes(top.replace(/\.ts$/, '')));
}

/** The modules of lib that a module imports, types included. */
function importsOf(file) {
  const text = readFileSync(path.join(base, 'lib', file), 'utf8');
  return ts
    .preProcessFile(text, true, true)
    .importedFiles.map(({ fileName }) => fileName)
    .filter((name) => name.startsWith('.'))
    .map((name) => path.posix.join(path.posix.dirname(file), name))
    .map((name) => [`${name}.ts`, `${name}/index.ts`].find((each) => existsSync(path.join(base, 'lib', each))) ?? name);
}

/** One line per circle, found by a walk in depth. */
function circles(imports) {
  const found = [];
  const done = new Set();
  const visit = (file, trail) => {
    const seen = trail.indexOf(file);
    if (seen !== -1) found.push(`lib: circular import: ${[...trail.slice(seen), file].join(' -> ')}`);
    if (seen !== -1 || done.has(file)) return;
    for (const target of imports.get(file) ?? []) visit(target, [...trail, file]);
    done.add(file);
  };
  for (const file of imports.keys()) visit(file, []);
  return found;
}

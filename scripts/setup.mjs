/**
 * Makes a checkout ready: installs the locked packages, builds the addon, compiles the TypeScript. Each step is left out
 * when nothing that it depends on has changed since it last succeeded, so this is quick when there is nothing to do.
 *
 *   node scripts/setup.mjs            what `npm start` needs
 *   node scripts/setup.mjs --tests    the native tests too, and the HDF5 example where the library is; a warning of the C++ compiler is an error, as in CI
 *   node scripts/setup.mjs --bench    the addon of the benchmarks too
 *
 * It runs before anything is installed: nothing but Node's own modules is imported here.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { newestChange } from './lib/files.mjs';
import { headersFromRegistry, localHeaders } from './lib/node-headers.mjs';
import { root, run } from './lib/run.mjs';

/** The environment that tells node-gyp where Node's headers are. */
let headers = localHeaders();

const at = (...names) => path.join(root, ...names);
const built = (name) => at('build', 'Release', name);
const nativeSources = [
  at('native'),
  at('examples', 'h5-phil', 'plain_fork.cc'),
  at('binding.gyp'),
  at('package-lock.json'),
];

const addon = {
  what: 'addon',
  made: [built('atfork.node'), built('plain_fork.node')],
  sources: nativeSources,
  make: () => buildNative([], {}),
};
const addonAndTests = {
  what: 'addon and native tests',
  made: [
    ...addon.made,
    ...[
      'native_tests',
      'contended_handler.node',
      'foreign_threads.node',
      'registrar.node',
      'runtime_thread.node',
      'shared_mapping.node',
    ].map(built),
  ],
  sources: [...nativeSources, at('test', 'native')],
  make: () => buildNative(['--native_tests=1'], { CI: 'true' }),
};
const addonAndBench = {
  what: 'addon and benchmarks',
  made: [...addon.made, built('bench.node')],
  sources: [...nativeSources, at('scripts', 'bench', 'native')],
  // With the flags of the tests, or everything would be compiled once more.
  make: () => buildNative(['--bench=1'], { CI: 'true' }),
};
/** A worked example of an addon that takes part by native/include/atfork.h. */
const hdf5Example = {
  what: 'HDF5 example',
  made: [at('examples', 'hdf5', 'build', 'Release', 'hdf5.node')],
  sources: [at('examples', 'hdf5', 'hdf5.c'), at('examples', 'hdf5', 'binding.gyp'), at('native', 'include')],
  make: () => nodeGyp(['rebuild', '--directory', at('examples', 'hdf5'), '--loglevel=warn'], {}),
};
const compiled = {
  what: 'TypeScript',
  made: [at('dist', 'index.js')],
  sources: [at('lib'), at('tsconfig.json'), at('package-lock.json')],
  make: () => run('tsc', ['-p', 'tsconfig.json']),
};

if (!packagesInstalled()) {
  succeed('packages', () => run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']));
}
if (process.argv.includes('--bench')) {
  build(addonAndBench);
} else if (process.argv.includes('--tests')) {
  build(addonAndTests);
  if (hasHdf5()) build(hdf5Example);
  else console.log('setup: no HDF5 example: pkg-config knows no hdf5-serial (Debian: libhdf5-dev)');
} else if (!isCurrent(addonAndTests)) {
  // Built with the tests it is as good; without them everything would be compiled once more.
  build(addon);
}
build(compiled);

/** Whether node_modules holds what package-lock.json asks for; optional packages belong to other platforms. */
function packagesInstalled() {
  const installed = packagesOf(at('node_modules', '.package-lock.json'));
  return Object.entries(packagesOf(at('package-lock.json'))).every(
    ([name, { version, optional }]) => name === '' || optional === true || installed[name]?.version === version,
  );
}

function packagesOf(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : {};
}

function build(target) {
  if (isCurrent(target)) return;
  // Taken before the build: what is edited while it runs is built the next time.
  const newest = stampOf(target);
  succeed(target.what, target.make);
  mkdirSync(path.dirname(stampFile(target)), { recursive: true });
  writeFileSync(stampFile(target), newest);
}

/** Whether the target exists and its sources are as they were when it was last built. */
function isCurrent(target) {
  const stamp = stampFile(target);
  return target.made.every(existsSync) && existsSync(stamp) && readFileSync(stamp, 'utf8') === stampOf(target);
}

function stampFile({ what }) {
  return at('.cache', 'setup', what.replaceAll(' ', '-'));
}

/** The Node version is part of it: another one has other headers. */
function stampOf({ sources }) {
  return `${process.version} ${String(newestChange(sources))}`;
}

/** make(1) decides what has to be compiled; `env` is for binding.gyp. */
function buildNative(configureOptions, env) {
  const configure = ['configure', '--release', '--loglevel=warn', '--examples=1', ...configureOptions];
  return nodeGyp(configure, env) && nodeGyp(['build', '--release', '--loglevel=warn', '--jobs', 'max'], env);
}

function nodeGyp(args, env) {
  if (run('node-gyp', args, { env: { ...env, ...headers } })) return true;
  if (args[0] === 'build') return false;
  const fromRegistry = headersFromRegistry();
  if (fromRegistry === null) return false;
  headers = fromRegistry;
  return run('node-gyp', args, { env: { ...env, ...headers } });
}

function hasHdf5() {
  return spawnSync('pkg-config', ['--exists', 'hdf5-serial'], { stdio: 'ignore' }).status === 0;
}

function succeed(what, make) {
  console.log(`setup: ${what}`);
  if (make()) return;
  console.error(`setup: ${what}: failed`);
  process.exit(1);
}

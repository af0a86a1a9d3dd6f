/** The cases of the fork suite: what to run, by name. Each is a script that prints `done` and exits with 0. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

import activities from '../fixtures/activity-names.cjs';
import known from '../fixtures/capabilities/names.cjs';
import multiThreaded from '../fixtures/multi-threaded-names.cjs';

const { execArgv, names } = known;

/** Milliseconds; a case's own bounds, which tell more, are below it. The churn has so much more for each fork. */
const bound = 60_000;
const boundPerFork = 1000;

const exposeGc = { execArgv: ['--expose-gc'] };

// Small heaps are collected often, and are quickly copied.
const churn = { file: 'suite/churn.cjs', execArgv: ['--expose-gc', '--max-semi-space-size=2'] };

const programs = { file: 'suite/programs.cjs', execArgv: churn.execArgv };

/** The addon of examples/hdf5, which is built where the library's headers are (scripts/setup.mjs). */
const hdf5Addon = fileURLToPath(new URL('../../examples/hdf5/build/Release/hdf5.node', import.meta.url));
export const hdf5 = withHdf5();

/** @returns {{ unless?: string }} why its cases are left out, if they are */
function withHdf5() {
  if (!existsSync(hdf5Addon)) return { unless: 'no libhdf5-dev here: examples/hdf5 was not built' };
  try {
    createRequire(import.meta.url)(hdf5Addon);
    return {};
  } catch (error) {
    // In a chroot of scripts/libc-matrix.mjs, say, that has not got the library.
    if (error.code !== 'ERR_DLOPEN_FAILED') throw error;
    return { unless: error.message };
  }
}

/** What some print besides. */
const report = /^(\d+ killed|\d+ forks|\d+ programs|at the end:).*\n/gm;

/** By name, what is done in great numbers: the argument to add is how many forks, or programs. */
export const manyForks = {
  churn: { ...churn, args: ['forks'] },
  'churn alone': { ...churn, args: ['alone'] },
  'churn addon': { ...churn, args: ['addon'] },
  load: { file: 'suite/load.cjs', execArgv: [], args: ['forks'] },
  'shared lock': { file: 'suite/shared-lock.cjs', execArgv: [], args: [], report },
  programs: { ...programs, args: ['oneThird'], report },
  'programs of Workers': { ...programs, args: ['workers'], report },
  hdf5: { file: 'suite/hdf5.cjs', execArgv: [], args: ['global'], report, ...hdf5 },
  'hdf5 mutex': { file: 'suite/hdf5.cjs', execArgv: [], args: ['handed-over'], report, ...hdf5 },
};

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {string} file relative to test/
 * @property {string[]} args
 * @property {string[]} [execArgv] options of Node
 * @property {Record<string, string>} [env]
 * @property {number} timeout milliseconds
 * @property {RegExp} [report] lines that it prints before `done`
 * @property {string} [unless] why it is left out
 */

/** Several runs of one script; `title` is how their names begin. */
const runs = (title, file, functions, options = {}) =>
  functions.map((each) => ({ name: `${title} ${each}`, file, args: [each], ...options }));

const own = (title, functions, options) => runs(title, `suite/${title}.cjs`, functions, options);

/** @param {number} forks of the churn @returns {Case[]} */
export function casesOf(forks) {
  const asRoot = process.getuid() === 0 ? {} : { unless: 'only as root' };
  const cases = [
    ...own('exits', ['naturally', 'byExit', 'atOnce', 'bySignal', 'together', 'besideProcess']),
    ...own('exits', ['afterPoolWork', 'afterWorkers']),
    // Node 22 and later then read the system's certificates in a thread of their own.
    ...own('exits', ['afterRootCertificates'], { env: { NODE_USE_SYSTEM_CA: '1' } }),
    ...names.map((name) => ({
      name: `capability ${name}`,
      file: 'fixtures/fork-capability.cjs',
      args: [name, 'warm'],
      execArgv,
    })),
    ...runs('in flight', 'fixtures/fork-in-flight.cjs', ['wasm', 'timers', 'engine'], { execArgv }),
    ...runs('in flight', 'fixtures/fork-in-flight.cjs', ['poolReadsOfWorker']),
    ...runs('pending', 'fixtures/pending-work.cjs', [
      'finished',
      'atAnyInstant',
      'generations',
      'inSystemCalls',
      'inOpen',
    ]),
    ...runs('pending', 'fixtures/pending-work.cjs', ['watchFile', 'keepsNobodyAlive', 'refused', 'waits']),
    ...runs('handles', 'fixtures/inherited-handles.cjs', [
      ...['tcp', 'tls', 'unix', 'programs', 'serverFile', 'channels', 'watchedByPromise'],
      ...['datagrams', 'watchers', 'server', 'kept', 'keptKinds', 'timersAndListeners'],
    ]),
    ...runs('handles', 'fixtures/inherited-http.cjs', [
      ...['keptAlive', 'requests', 'requestsOfThisTurn', 'streamsUnderWay'],
      ...['keptAliveUpload', 'answers', 'http2', 'webSockets'],
    ]),
    ...runs('queries', 'fixtures/inherited-queries.cjs', ['callback', 'promise', 'reverse', 'answered']),
    ...runs('TLS', 'fixtures/inherited-tls.cjs', [
      ...['ofServer', 'overSocket', 'insideTls', 'idle', 'beingRead', 'handshake', 'https', 'http2'],
    ]),
    ...runs('signals', 'fixtures/fork-signals.cjs', ['childOnly', 'inherited', 'caughtBefore']),
    ...activities.activityNames.map((name) => ({
      name: `activity ${name}`,
      file: 'fixtures/fork-workers.cjs',
      args: [name, '3'],
    })),
    ...multiThreaded.caseNames.flatMap((name) =>
      runs('threads', 'fixtures/multi-threaded.cjs', [name], multiThreaded.optionsOf(name)),
    ),
    { name: 'Worker aborts', file: 'fixtures/fork-worker-aborts.cjs', args: [] },
    { name: 'certificates', file: 'fixtures/fork-certificates.cjs', args: ['5'] },
    ...runs('lock', 'fixtures/lock-fork.cjs', ['heldByWorker', 'timeout', 'waiters', 'generations']),
    ...runs('setuid', 'fixtures/fork-setuid.cjs', ['child', 'grandchild', 'parent', 'workers'], asRoot),
    ...runs('random', 'fixtures/fork-random.cjs', ['everyStream', 'contexts', 'untouched', 'queryIds']),
    ...runs('random', 'fixtures/fork-random.cjs', ['refillQueued', 'refillDone']),
    ...runs('random', 'fixtures/fork-random.cjs', ['generations'], exposeGc),
    ...runs('random same pid', 'fixtures/fork-random-pid.cjs', ['samePid'], asRoot),
    ...own('server', ['http']),
    ...own('generations', ['tree', 'forkAtOnce'], exposeGc),
    ...own('generations', ['setuidAtOnce'], asRoot),
    { name: 'generations ten', file: 'fixtures/fork-generations.cjs', args: [], execArgv },
    ...own('workers', ['idle', 'timer', 'busy', 'garbage', 'atomics', 'nested']),
    ...own('workers', ['crypto', 'cryptoSync', 'files', 'messages', 'wasm']),
    ...own('workers', ['all', 'leftAloneNaturally', 'leftAloneByExit']),
    ...Object.entries(manyForks).map(([name, { args, ...how }]) => ({
      name,
      ...how,
      args: [...args, String(forks)],
      timeout: bound + forks * boundPerFork,
    })),
  ];
  return cases.map((each) => ({ timeout: bound, ...each }));
}

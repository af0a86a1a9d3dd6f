/**
 * The fork suite on every glibc and every line of Node that we support.
 *
 * What the addon knows of struct pthread it learns from glibc itself, and glibc changes it: only a run on each tells.
 * Usage:  npm run test:libc -- [--debian LIST] [--node LIST] [--timeout MS] [--prepare] [-- SCRIPT [ARGUMENT...]]
 *         SCRIPT is run by Node inside the chroot, in this repository: read-only, addon and dist/ as they were built
 *         outside. --timeout is for one run. --prepare only builds the chroots and sees that Node starts in each.
 * Needs:  root. When the cache is empty: Debian's packages, the npm registry, 3 minutes, 2 GB.
 * Cache:  $ATFORK_LIBC_CACHE or <tmpdir>/atfork-libc, on a file system that is not mounted nodev or noexec.
 * Exit:   0 all passed, 1 anything else, 100 usage.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { root as repository } from './lib/run.mjs';
import { table } from './lib/table.mjs';
import { chrootOf, nodeOf } from './libc/chroots.mjs';
import { runConfined } from './libc/confined.mjs';

// testing: the newest glibc that can always be installed; sid has it some weeks earlier, when sid is not broken.
const defaultReleases = 'bullseye,bookworm,trixie,testing';
const defaultNodes = '20,22,24,26';
const defaultTimeout = 300_000;
const defaultScript = 'test/suite/run.mjs';
const probeTimeout = 30_000;
const tailLines = 80;

const enter = path.join(repository, 'scripts/libc/enter.sh');
const cache = process.env.ATFORK_LIBC_CACHE ?? path.join(os.tmpdir(), 'atfork-libc');
const nodes = path.join(cache, 'node');
const logs = path.join(cache, 'logs');

const probe = 'console.log(process.version, process.report.getReport().header.glibcVersionRuntime)';

const lines = (file) => readFileSync(file, 'utf8').trimEnd().split('\n');

/** One cell of the matrix; `chroot` is a promise. Never throws: what goes wrong is the cell's result. */
async function runCell(release, chroot, line, { script, timeout }) {
  const cell = { debian: release, glibc: '?', node: line, result: 'ok', seconds: 0, lastLine: '' };
  try {
    const root = await chroot;
    const binary = path.join('/mnt/node', await nodeOf(nodes, line));
    const logFile = path.join(logs, `${release}-node${line}.log`);
    const inside = (args, limit) =>
      runConfined([enter, root, repository, nodes, binary, ...args], { logFile, timeout: limit });

    let { ok, outcome, ms } = await inside(['-e', probe], probeTimeout);
    if (ok) {
      [cell.node, cell.glibc] = lines(logFile).at(-1).split(' ');
      if (script) ({ ok, outcome, ms } = await inside(script, timeout));
    } else {
      outcome = `Node does not start: ${outcome}`;
    }
    Object.assign(cell, {
      result: outcome,
      seconds: (ms / 1000).toFixed(1),
      lastLine: lines(logFile).at(-1).slice(0, 60),
    });
    if (!ok) console.error(`--- ${logFile}\n${lines(logFile).slice(-tailLines).join('\n')}\n---`);
  } catch (error) {
    console.error(error);
    Object.assign(cell, { result: 'error', lastLine: error.message.split('\n')[0] });
  }
  return cell;
}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      debian: { type: 'string', default: defaultReleases },
      node: { type: 'string', default: defaultNodes },
      timeout: { type: 'string', default: String(defaultTimeout) },
      prepare: { type: 'boolean', default: false },
    },
  });
  const timeout = Number(values.timeout);
  if (!(timeout > 0)) throw new RangeError(`--timeout ${values.timeout}: milliseconds, more than 0`);
  const script = values.prepare ? null : positionals.length > 0 ? positionals : [defaultScript];
  return { releases: values.debian.split(','), nodeLines: values.node.split(','), timeout, script };
}

async function main() {
  let options;
  try {
    options = readArguments();
    if (process.platform !== 'linux' || process.getuid() !== 0) throw new Error('only as root, on Linux');
  } catch (error) {
    console.error(`libc-matrix: ${error.message}`);
    return 100;
  }
  mkdirSync(logs, { recursive: true });
  const cells = [];
  for (const release of options.releases) {
    const chroot = chrootOf(cache, release);
    for (const line of options.nodeLines) {
      const cell = await runCell(release, chroot, line, options);
      cells.push(cell);
      console.log(`${release}, glibc ${cell.glibc}, Node ${cell.node}: ${cell.result}`);
    }
  }
  console.log(`\n${table(cells)}\n`);
  const passed = cells.filter(({ result }) => result === 'ok').length;
  console.log(`${passed} passed, ${cells.length - passed} failed`);
  return passed === cells.length ? 0 : 1;
}

process.exitCode = await main();

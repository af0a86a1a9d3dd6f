/**
 * Forks under garbage collection, JIT, Worker and thread-pool churn, in great numbers: test/suite/churn.cjs at full length.
 *
 * Every child has to end with 0, whichever way it leaves; one that does not end is described thread by thread and killed.
 * At the end there is no zombie, no descriptor more, no process left over, and the parent can do whatever it could.
 * Usage:  npm run test:churn -- [--forks N] [--node BIN]...
 *         N: for each Node, default 10,000, some 20 minutes on two cores. BIN: default is the Node that runs this.
 * Needs:  build/Release/atfork.node and dist/ (`npm run setup`).
 * Output: progress on stderr; a line per Node on stdout. All that was printed is kept in .cache/churn-VERSION.txt.
 * Exit:   0 all is well, 1 not, 100 usage.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { runCommand } from '../helpers/command.mjs';
import { runSession } from '../helpers/session.mjs';
import { churn } from '../suite/cases.mjs';

const tests = fileURLToPath(new URL('..', import.meta.url));
const cache = path.join(tests, '..', '.cache');

/** How many forks there are between two lines of progress, and for how long there may be no line, in ms. */
const forksPerLine = 500;
const silence = 300_000;

function readArguments() {
  const { values } = parseArgs({
    options: {
      forks: { type: 'string', default: '10000' },
      node: { type: 'string', multiple: true, default: [process.execPath] },
    },
  });
  const forks = Number(values.forks);
  if (!Number.isInteger(forks) || forks < 1) throw new RangeError(`--forks ${values.forks}: a number, at least 1`);
  return {
    forks,
    nodes: values.node.map((node) => [node, execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()]),
  };
}

/** Returns whether all was well. */
async function run(node, version, forks) {
  const started = performance.now();
  const args = [...churn.execArgv, churn.file, ...churn.args, String(forks), String(forksPerLine)];
  const onOutput = (text) => process.stderr.write(text.replaceAll(/^(?=.)/gm, `${version}: `));
  const { code, signal, output, left } = await runSession(node, args, { cwd: tests, silence, onOutput });
  if (left !== '') process.stderr.write(left);
  const report = path.join(cache, `churn-${version}.txt`);
  mkdirSync(cache, { recursive: true });
  writeFileSync(report, `${output}${left}code ${code}, signal ${signal}\n`);

  const ok = code === 0 && left === '';
  const summary = /^at the end: (.*)$/m.exec(output)?.[1] ?? 'it did not come to its end';
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  console.log(`${ok ? 'ok  ' : 'FAIL'} Node ${version}: ${summary}; ${minutes} min${ok ? '' : `; see ${report}`}`);
  return ok;
}

async function main(options) {
  let ok = true;
  for (const [node, version] of options.nodes) ok = (await run(node, version, options.forks)) && ok;
  return ok ? 0 : 1;
}

await runCommand(readArguments, main);

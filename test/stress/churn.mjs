/**
 * Forks in great numbers: cases of the fork suite (test/suite/cases.mjs, `manyForks`) at full length. `churn`: under garbage
 * collection, JIT, Worker and thread-pool churn; `churn alone` and `churn addon`: without Workers, beside threads of an
 * addon, and how often the warning was wrong; `load`: of a server under HTTP load; `shared lock`: children that hold a lock
 * between processes are killed.
 *
 * Every child has to end with 0, whichever way it leaves; one that does not end is described thread by thread and killed.
 * At the end there is no zombie, no descriptor more, no process left over, and the parent can do whatever it could.
 * Usage:  npm run test:churn -- [--forks N] [--case NAME]... [--node BIN]...
 *         N: for each case and Node, default 10,000, some 15 minutes on two cores. NAME: default is all. BIN: default is
 *         the Node that runs this.
 * Needs:  build/Release/atfork.node and dist/ (`npm run setup -- --tests`).
 * Output: progress on stderr; a line for each on stdout. All that was printed is kept in .cache/CASE-VERSION.txt.
 * Exit:   0 all is well, 1 not, 100 usage.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { runCommand } from '../helpers/command.mjs';
import { runSession } from '../helpers/session.mjs';
import { manyForks } from '../suite/cases.mjs';

const tests = fileURLToPath(new URL('..', import.meta.url));
const cache = path.join(tests, '..', '.cache');

/** How many forks there are between two lines of progress, and for how long there may be no line, in ms. */
const forksPerLine = 500;
const silence = 300_000;

function readArguments() {
  const { values } = parseArgs({
    options: {
      forks: { type: 'string', default: '10000' },
      case: { type: 'string', multiple: true, default: Object.keys(manyForks) },
      node: { type: 'string', multiple: true, default: [process.execPath] },
    },
  });
  const forks = Number(values.forks);
  if (!Number.isInteger(forks) || forks < 1) throw new RangeError(`--forks ${values.forks}: a number, at least 1`);
  const unknown = values.case.filter((name) => !(name in manyForks));
  if (unknown.length > 0) throw new RangeError(`no such case: ${unknown}; there are ${Object.keys(manyForks)}`);
  return {
    forks,
    cases: values.case,
    nodes: values.node.map((node) => [node, execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()]),
  };
}

/** Returns whether all was well. */
async function run(name, node, version, forks) {
  const started = performance.now();
  const { execArgv, file, args: own } = manyForks[name];
  const args = [...execArgv, file, ...own, String(forks), String(forksPerLine)];
  const onOutput = (text) => process.stderr.write(text.replaceAll(/^(?=.)/gm, `${version}, ${name}: `));
  const { code, signal, output, left } = await runSession(node, args, { cwd: tests, silence, onOutput });
  if (left !== '') process.stderr.write(left);
  const report = path.join(cache, `${name.replaceAll(' ', '-')}-${version}.txt`);
  mkdirSync(cache, { recursive: true });
  writeFileSync(report, `${output}${left}code ${code}, signal ${signal}\n`);

  const ok = code === 0 && left === '';
  const summary = /^at the end: (.*)$/m.exec(output)?.[1] ?? 'it did not come to its end';
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  console.log(
    `${ok ? 'ok  ' : 'FAIL'} Node ${version}, ${name}: ${summary}; ${minutes} min${ok ? '' : `; see ${report}`}`,
  );
  return ok;
}

async function main(options) {
  let ok = true;
  for (const [node, version] of options.nodes) {
    for (const name of options.cases) ok = (await run(name, node, version, options.forks)) && ok;
  }
  return ok ? 0 : 1;
}

await runCommand(readArguments, main);

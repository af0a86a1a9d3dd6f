/**
 * The fork suite: whether fork() works with the libc and the Node that run this. Needs nothing but Node, dist/ and the
 * addon, so that it can be run where nothing is installed (scripts/libc-matrix.mjs).
 *
 *   node test/suite/run.mjs [--forks N] [--list] [NAME...]
 *
 * --forks: of the churn, default 100. NAME: only the cases whose names begin so. Each case is a process of its own, which
 * does the forking; one that does not end is described, thread by thread, and killed with all that it has forked.
 * Prints a line per case and `N passed, N failed`. Exit: 0 all passed, 1 not, 100 usage.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { runCommand } from '../helpers/command.mjs';
import { runSession } from '../helpers/session.mjs';
import { casesOf } from './cases.mjs';

const folder = fileURLToPath(new URL('..', import.meta.url));

/** Resolves to null when the case passed, to 'not there', or to what was seen instead. */
async function run({ file, args, execArgv = [], env, timeout, report }) {
  const { code, signal, output, left } = await runSession(process.execPath, [...execArgv, file, ...args], {
    cwd: folder,
    env,
    timeout,
  });
  const clean = code === 0 && left === '';
  // A child that leaves naturally may come past the script's last line too.
  if (clean && /^(done\n)+$/.test(report === undefined ? output : output.replaceAll(report, ''))) return null;
  if (clean && output === 'not there\n') return 'not there';
  return `code ${code}, signal ${signal}\n${left}${output}`;
}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { forks: { type: 'string', default: '100' }, list: { type: 'boolean', default: false } },
  });
  const forks = Number(values.forks);
  if (!Number.isInteger(forks) || forks < 1) throw new RangeError(`--forks ${values.forks}: a number, at least 1`);
  const chosen = casesOf(forks).filter(
    ({ name }) => positionals.length === 0 || positionals.some((begin) => name.startsWith(begin)),
  );
  if (chosen.length === 0) throw new RangeError(`no such case: ${positionals.join(', ')}`);
  return { chosen, list: values.list };
}

async function main(options) {
  if (options.list) {
    for (const { name } of options.chosen) console.log(name);
    return 0;
  }
  const counts = { passed: 0, failed: 0 };
  for (const each of options.chosen) {
    const started = performance.now();
    const complaint = each.unless ?? (await run(each));
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    if (complaint === null) {
      ++counts.passed;
      console.log(`ok    ${each.name}  ${seconds} s`);
    } else if (complaint === each.unless || complaint === 'not there') {
      console.log(`skip  ${each.name}: ${complaint}`);
    } else {
      ++counts.failed;
      console.log(`FAIL  ${each.name}  ${seconds} s: ${complaint.trimEnd()}`);
    }
  }
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  return counts.failed === 0 ? 0 : 1;
}

await runCommand(readArguments, main);

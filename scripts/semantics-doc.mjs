/**
 * Writes the tables of docs/atfork-semantics.md from what the native tests say of themselves (test/native/claim.h), and
 * from whether they passed.
 *
 *   node scripts/semantics-doc.mjs                     runs them all, and writes
 *   node scripts/semantics-doc.mjs --check [folder]    looks at the last results, those of `node scripts/test.mjs
 *                                                      native-tests`; default: of this repository
 *
 * Exits with 1 when a claim's test has failed or has not run; with --check, also when the page says something else than
 * the tests. What was seen here is not compared: it may differ from one glibc and kernel to the next.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { root, run } from './lib/run.mjs';

const [option, folder = root] = process.argv.slice(2);
const check = option === '--check';
const page = path.join(folder, 'docs', 'atfork-semantics.md');
const claims = path.join(folder, '.cache', 'claims.jsonl');

if (!check) {
  mkdirSync(path.dirname(claims), { recursive: true });
  const log = path.join(root, '.cache', 'native-tests.txt');
  run(path.join('build', 'Release', 'native_tests'), [`--claims=${claims}`], { stdout: log });
}
const [system, results] = readResults();
const rows = [...results.values()].filter((result) => result.claim !== undefined).map(rowOf);

const before = readFileSync(page, 'utf8');
let after = fill(before, 'system', `glibc ${system.glibc}, Linux ${system.kernel.split('-')[0]}`);
for (const area of new Set(rows.map((row) => row.area))) after = fill(after, area, tableOf(area));

const broken = rows.filter((row) => row.failures.length > 0);
for (const { situation, failures } of broken) console.error(`"${situation}" is not shown: ${failures.join(', ')}`);
if (broken.length > 0) process.exitCode = 1;
if (!check) {
  writeFileSync(page, after);
} else if (compared(after) !== compared(before)) {
  console.error('docs/atfork-semantics.md is not what the tests say: run `node scripts/semantics-doc.mjs`');
  process.exitCode = 1;
}

/** What they ran on, and each test's result by its name, in the order in which they ran. */
function readResults() {
  if (!existsSync(claims)) {
    console.error('no results of tests here: run `node scripts/test.mjs native-tests` first');
    process.exit(1);
  }
  const [first, ...rest] = readFileSync(claims, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  return [first, new Map(rest.map((result) => [result.test, result]))];
}

/** The cells of a claim's row; it holds only if all tests that are to show it have passed. */
function rowOf({ test, result, why, seen, claim }) {
  const tests = [test, ...claim.also.split(' ').filter((name) => name !== '')];
  const failures = tests
    .filter((name) => results.get(name)?.result !== 'passed' && results.get(name)?.result !== 'cannot')
    .map((name) => `${name} ${results.has(name) ? 'failed' : 'has not run'}`);
  let outcome = seen === '' ? 'passed' : `passed: \`${seen}\``;
  if (result === 'cannot') outcome = `not run here: ${why}`;
  if (failures.length > 0) outcome = `**FAILED**: ${failures.join(', ')}`;
  return { ...claim, tests: tests.map((name) => `\`${name}\``).join(', '), outcome, failures };
}

function tableOf(area) {
  const cells = rows
    .filter((row) => row.area === area)
    .map((row) => [row.situation, row.posix, row.glibc, row.atfork, row.tests, row.outcome]);
  const lines = [['situation', 'POSIX', 'glibc', 'atfork', 'shown by', 'result'], Array(6).fill('---'), ...cells];
  return lines.map((line) => `| ${line.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`).join('\n');
}

/** `text` with what stands between the two marks of `name` replaced. */
function fill(text, name, content) {
  const marks = new RegExp(`(<!-- ${name} -->\n)[^]*?(\n<!-- /${name} -->)`);
  if (!marks.test(text)) throw new Error(`${page} has no place for ${name}`);
  return text.replace(marks, (_, open, close) => `${open}${content}${close}`);
}

/** `text` without what may differ from one system to the next. */
function compared(text) {
  return fill(text, 'system', '').replaceAll(/\| (passed|not run here)[^|]*\|$/gm, '|');
}

/**
 * `npm test`: everything that is checked and tested, in order, and one line per stage at the end. A failed stage does
 * not stop the ones after it, except the set-up. Exits with 1 when one failed.
 *
 *   node scripts/test.mjs [stage ...]      only these
 *
 * The last line, `N passed, N failed`, is left in .cache/test-summary.txt too. A stage of tests counts as its tests, any
 * other stage as one.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';

import { filesBelow } from './lib/files.mjs';
import { root, run } from './lib/run.mjs';

const cache = path.join(root, '.cache');
const summary = path.join(cache, 'test-summary.txt');
const script = (name, ...args) => run(process.execPath, [path.join('scripts', `${name}.mjs`), ...args]);

/** Where TypeScript and JavaScript lie. */
const code = ['--no-error-on-unmatched-pattern', 'lib', 'test', 'scripts', 'examples', '*.{mjs,mts}'];

/** In this order. Each returns `{ passed, failed }`. */
const stages = {
  setup: check(() => script('setup', '--tests')),
  prettier: check(() => run('prettier', ['--check', '--log-level=warn', ...code])),
  eslint: check(() => run('eslint', ['--max-warnings=0', ...code])),
  'clang-format': check(() => run('clang-format', ['--dry-run', '--Werror', ...cppFiles()])),
  types: check(() => run('tsc', ['-p', 'test/tsconfig.json'])),
  layers: check(() => script('check-layers')),
  'child-zone': check(() => script('check-child-zone')),
  'glibc-floor': check(() => script('check-glibc-floor')),
  'errors-doc': check(() => script('errors-doc', '--check')),
  'native-tests': runNativeTests,
  // After the tests, whose results it reads.
  'semantics-doc': check(() => script('semantics-doc', '--check')),
  vitest: runVitest,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in stages));
if (unknown.length > 0) {
  console.error(`no such stage: ${unknown.join(', ')}; there are ${Object.keys(stages).join(', ')}`);
  process.exit(2);
}

mkdirSync(cache, { recursive: true });
rmSync(summary, { force: true });
const results = [];
for (const [name, stage] of Object.entries(stages)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n== ${name}`);
  const start = performance.now();
  const counts = stage();
  results.push({ name, seconds: (performance.now() - start) / 1000, ...counts });
  if (name === 'setup' && counts.failed > 0) break;
}

console.log('');
for (const { name, seconds, passed, failed } of results) {
  const verdict = failed === 0 ? 'ok  ' : 'FAIL';
  console.log(`${verdict} ${name.padEnd(14)} ${seconds.toFixed(1).padStart(6)} s  ${passed} passed, ${failed} failed`);
}
// Once more at the end, since of a long log the end is what is kept.
for (const failure of results.flatMap(({ failures = [] }) => failures)) console.log(`\n${failure}`);
const total = (field) => results.reduce((sum, result) => sum + result[field], 0);
const line = `${total('passed')} passed, ${total('failed')} failed`;
console.log(line);
writeFileSync(summary, `${line}\n`);
process.exitCode = total('failed') === 0 ? 0 : 1;

/** A stage that passes or fails as a whole. */
function check(passes) {
  return () => (passes() ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 });
}

function runNativeTests() {
  const log = path.join(cache, 'native-tests.txt');
  const claims = path.join(cache, 'claims.jsonl');
  rmSync(claims, { force: true });
  const succeeded = run(path.join('build', 'Release', 'native_tests'), [`--claims=${claims}`], { stdout: log });
  const output = readFileSync(log, 'utf8');
  console.log(output.trimEnd());
  return counted(succeeded, () => {
    const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(output);
    return { passed: Number(passed), failed: Number(failed) };
  });
}

function runVitest() {
  // vitest.config.mts has the report written here.
  const report = path.join(cache, 'vitest.json');
  rmSync(report, { force: true });
  return counted(run('vitest', ['run']), () => {
    const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));
    return { passed: numPassedTests, failed: numFailedTests, failures: testResults.flatMap(failuresOf) };
  });
}

/** What vitest reports of a file's failed tests, each as `file > name` and the head and the end of its message. */
function failuresOf({ name: file, status, message, assertionResults }) {
  const failed = assertionResults.filter((test) => test.status === 'failed');
  const told = failed.map((test) => [test.fullName, test.failureMessages.join('\n')]);
  if (status === 'failed' && failed.length === 0) told.push(['did not load', message]);
  return told.map(([name, text]) => {
    const lines = stripVTControlCharacters(text).split('\n');
    const shown = lines.length > 60 ? [...lines.slice(0, 30), '[...]', ...lines.slice(-30)] : lines;
    return `FAIL ${path.relative(root, file)} > ${name}\n${shown.map((line) => line.slice(0, 300)).join('\n')}`;
  });
}

/** The numbers of a stage of tests. What failed outside of any test, a file that did not load, counts as one failure. */
function counted(succeeded, numbers) {
  let counts = { passed: 0, failed: 0 };
  try {
    counts = numbers();
  } catch (error) {
    console.error(`no report: ${error.message}`);
    succeeded = false;
  }
  return succeeded ? counts : { ...counts, failed: Math.max(1, counts.failed) };
}

function cppFiles() {
  return ['native', path.join('test', 'native'), 'examples', path.join('scripts', 'bench')].flatMap((folder) =>
    filesBelow(path.join(root, folder))
      .filter((file) => /\.(cc|h)$/.test(file))
      .map((file) => path.join(folder, file)),
  );
}

import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import { type FixtureResult, describeFixture, runFixture } from '../helpers/run-fixture';

const main = path.join(__dirname, '..', '..', 'examples', 'h5-phil', 'main.mjs');

/** Runs the example with a folder of its own for temporary files, and checks that it leaves none there. */
async function runExample(...args: string[]): Promise<FixtureResult> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'atfork-test-'));
  onTestFinished(() => {
    fs.rmSync(folder, { recursive: true });
  });
  const result = await runFixture(main, { args, env: { TMPDIR: folder }, timeout: 60_000 });
  expect(fs.readdirSync(folder)).toEqual([]);
  return result;
}

/** The cells of the table, line by line; they are two or more spaces apart. */
function tableOf(result: FixtureResult): string[][] {
  const lines = result.stdout.split('\n');
  const heading = lines.findIndex((line) => line.startsWith('child  pid'));
  const end = lines.indexOf('', heading);
  return lines.slice(heading + 1, end).map((line) => line.split(/ {2,}/));
}

const small = ['--files', '3', '--rows', '300', '--times', '100'];
const ms = expect.stringMatching(/^\d+(\.\d\d)? ms$/) as string;
const worker = expect.stringMatching(/^Worker [012]$/) as string;

test('every child of fork() does its work, every child of a plain fork(2) dies', async () => {
  const result = await runExample(...small);
  const line = (n: string): unknown => [n, expect.stringMatching(/^\d+$/), worker, ms, ms, ms, 'exit 0', 'SIGSEGV'];
  expect(tableOf(result), describeFixture(result)).toEqual([line('0'), line('1'), line('2')]);
  expect(result).toMatchObject({ code: 0, stderr: '' });
  expect(result.stdout).toMatch(/^Workers: +300 reads in [\d.]+ s$/m);
  expect(result.stdout).toMatch(/\nAll is well\.\n$/);
});

test('a fork that does not wait for the lock is refused, and the example fails', async () => {
  const result = await runExample(...small, '--lock-timeout', '0');
  // A Worker may release the lock just between the look and the fork; not each time.
  const ends = tableOf(result).map((line) => line.find((cell) => /^(ERR_|exit)/.test(cell)));
  expect(ends, describeFixture(result)).toContain('ERR_ATFORK_LOCK_TIMEOUT');
  expect(result.code).toBe(1);
  expect(result.stdout).toMatch(/^Workers: +300 reads/m);
  expect(result.stdout).toMatch(/\nNOT all is well\.\n$/);
});

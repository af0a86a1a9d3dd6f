import { spawn } from 'node:child_process';
import * as fs from 'node:fs';

import { expect, it } from 'vitest';

import { fdDifference, openFds, processStat, zombieChildren } from './proc.mjs';
import { fixturePasses, isRunning, runFixture } from './run-fixture';

it('brings back how the fixture ended and what it printed', async () => {
  const options = { args: ['a', 'b c'], input: 'typed', env: { FIXTURE_VARIABLE: 'set' } };
  expect(await runFixture('echo.cjs', options)).toEqual({
    code: 3,
    signal: null,
    stdout: '[["a","b c"],"typed","set"]\n',
    stderr: 'complaint\n',
    timedOut: false,
  });
  await expect(fixturePasses('echo.cjs', options)).rejects.toThrow(/echo\.cjs failed: code 3[^]*complaint/);
});

it('kills a fixture that does not end, and what it started in another session', async () => {
  const result = await runFixture('never-ends.cjs', { timeout: 3000 });
  expect(result).toMatchObject({ code: null, signal: 'SIGKILL', timedOut: true });
  const pids = JSON.parse(result.stdout) as { self: number; child: number };
  expect([isRunning(pids.self), isRunning(pids.child)]).toEqual([false, false]);
});

it('fails when a fixture leaves a process behind, and kills that', async () => {
  const error = await runFixture('leaves-a-process.cjs').then(
    () => new Error('nothing was noticed'),
    (reason: unknown) => reason as Error,
  );
  const [, pid] = /left processes running: (\d+) \(node, /.exec(error.message) ?? [error.message];
  expect(isRunning(Number(pid))).toBe(false);
});

it('sees zombies', async () => {
  const child = spawn('true', { stdio: 'ignore' });
  // Node reaps its children from the event loop, so nothing does as long as this thread does not return to it.
  const deadline = performance.now() + 10_000;
  while (child.pid !== undefined && !zombieChildren().some((stat) => stat.pid === child.pid)) {
    expect(processStat(child.pid)).not.toBeNull();
    if (performance.now() > deadline) throw new Error('it does not end');
  }
  await new Promise((resolve) => child.once('exit', resolve));
  expect(zombieChildren()).toEqual([]);
});

it('sees opened, closed and replaced descriptors', () => {
  const before = openFds();
  const fd = fs.openSync('/dev/null', 'r');
  const during = openFds();
  fs.closeSync(fd);
  expect(fdDifference(before, during)).toEqual([`${String(fd)}: closed -> /dev/null`]);
  expect(fdDifference(during, openFds())).toEqual([`${String(fd)}: /dev/null -> closed`]);
  expect(fdDifference(before, openFds())).toEqual([]);
});

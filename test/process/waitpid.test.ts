import { expect, test } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';
import { fromShell } from '../helpers/shell';

const exited = (exitCode: number): unknown => ({ exitCode, signalCode: null, coreDumped: false });
const killed = (signalCode: string): unknown => ({ exitCode: null, signalCode, coreDumped: false });

/**
 * A script whose shell starts one child per element of `endings`, and then becomes the fixture with their pids as
 * arguments. A child runs its ending once the fixture has written a line to fd 3, since a shell reaps what ends before.
 */
function withChildren(endings: readonly string[]): string {
  const gate = 'gate=$(mktemp -u) && mkfifo "$gate" && exec 3<>"$gate" && rm "$gate" || exit';
  const children = endings.map((ending) => `{ read -r go <&3; ${ending}; } & set -- "$@" $!`);
  return [gate, ...children, 'exec "$NODE" "$0" "$@"'].join('\n');
}

test('exit codes', async () => {
  const output = await fixturePasses('print-waitpid.cjs', fromShell(withChildren(['exit 0', 'exit 7', 'exit 255'])));
  expect(JSON.parse(output)).toEqual([exited(0), exited(7), exited(255)]);
});

test('names of signals, real-time ones too', async () => {
  const numbers = [9, 15, 6, 29, 34, 36, 64];
  const script = withChildren(numbers.map((number) => `exec sh -c 'kill -${String(number)} $$'`));
  const output = await fixturePasses('print-waitpid.cjs', fromShell(`ulimit -c 0\n${script}`));
  const names = ['SIGKILL', 'SIGTERM', 'SIGABRT', 'SIGIO', 'SIGRTMIN+0', 'SIGRTMIN+2', 'SIGRTMIN+30'];
  const statuses = JSON.parse(output) as { coreDumped: boolean }[];
  // Whether SIGABRT leaves a core is the machine's affair (core_pattern), even with `ulimit -c 0`.
  expect(statuses.map((status) => ({ ...status, coreDumped: false }))).toEqual(names.map(killed));
});

test('a child that still runs, is stopped, and is killed; then ECHILD', async () => {
  const script = 'sleep 1000 & exec "$NODE" "$0" $!';
  expect(await fixturePasses('waitpid-running-child.cjs', fromShell(script))).toBe('done\n');
});

test('arguments that make no sense, and processes that are no children', async () => {
  expect(await fixturePasses('waitpid-refusals.cjs')).toBe('done\n');
});

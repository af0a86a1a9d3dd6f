import { expect, test } from 'vitest';

import { fixturePasses, runFixture } from '../helpers/run-fixture';
import { fromShell } from '../helpers/shell';

test.each([
  [0, 0],
  [7, 7],
  [255, 255],
  [256, 0],
  [-1, 255],
])('_exit(%i) is seen as %i, and no listener runs', async (code, seen) => {
  const result = await runFixture('exit-now.cjs', { args: ['_exit', String(code)] });
  expect(result).toMatchObject({ code: seen, signal: null, stdout: 'before\n', stderr: '' });
});

test('stdin keeps O_NONBLOCK, which process.exit takes away', async () => {
  const script = '"$NODE" "$0" "$@" >&2; cat /proc/$$/fdinfo/0';
  const isNonBlocking = async (how: string): Promise<boolean> => {
    const output = await fixturePasses('exit-now.cjs', fromShell(script, { args: [how, '0'], input: '' }));
    const flags = /^flags:\s*(\d+)$/m.exec(output)?.[1];
    expect(flags).toBeDefined();
    return (Number.parseInt(flags ?? '', 8) & 0o4000) !== 0;
  };
  expect(await isNonBlocking('_exit')).toBe(true);
  expect(await isNonBlocking('process.exit')).toBe(false);
});

test('a Worker ends the whole process', async () => {
  const result = await runFixture('exit-now-in-worker.cjs');
  expect(result).toMatchObject({ code: 6, signal: null, stdout: '', stderr: '' });
});

test('a code that is no integer', async () => {
  expect(await fixturePasses('exit-now-refusals.cjs')).toBe('done\n');
});

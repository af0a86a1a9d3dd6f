/** The fork suite where the tests run, in short; scripts/libc-matrix.mjs runs all of it on every libc and line of Node. */
import { expect, it } from 'vitest';

import { fixturePasses, runFixture } from '../helpers/run-fixture';

const suite = '../suite/run.mjs';

it('passes', async () => {
  const cases = ['exits', 'server', 'generations tree', 'generations forkAtOnce', 'workers all', 'churn', 'load'];
  const output = await fixturePasses(suite, { args: ['--forks', '60', ...cases], timeout: 110_000 });
  expect(output).toMatch(/\n17 passed, 0 failed\n$/);
});

it.skipIf(process.getuid?.() !== 0)('gives up the ids of threads that have not run yet (as root only)', async () => {
  expect(await fixturePasses('../suite/generations.cjs', { args: ['setuidAtOnce'] })).toBe('done\n');
});

it('knows no other cases', async () => {
  const { code, stderr } = await runFixture(suite, { args: ['nothing'] });
  expect([code, stderr]).toEqual([100, 'no such case: nothing\n']);
});

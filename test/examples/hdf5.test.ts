/** atfork.h on a C library: test/suite/hdf5.cjs with few forks; `npm run test:churn -- --case hdf5` has many. */
import { expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';
import { hdf5 } from '../suite/cases.mjs';

const left = hdf5.unless;
const title = (name: string): string => (left === undefined ? name : `${name} (left out: ${left})`);

async function passes(...args: string[]): Promise<string> {
  const output = await fixturePasses('../suite/hdf5.cjs', { args, timeout: 100_000 });
  expect(output).toMatch(/\ndone\n$/);
  return output;
}

it.skipIf(left !== undefined)(title('forks while Workers and threads read under the global lock'), async () => {
  expect(await passes('global', '200')).toMatch(/^at the end: 200 forks/m);
});

it.skipIf(left !== undefined)(
  title('forks while Workers and threads read under a mutex that was handed over'),
  async () => {
    expect(await passes('handed-over', '50')).toMatch(/^at the end: 50 forks/m);
  },
);

it.skipIf(left !== undefined)(title('hangs, where nobody was told of the mutex'), async () => {
  expect(await passes('alone', '50')).toMatch(/^child \d+ hung, as it had to$/m);
});

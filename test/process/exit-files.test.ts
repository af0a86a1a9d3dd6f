import { expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

it.each(['profiles', 'namedProfile', 'coverage', 'report', 'namedReport', 'compileCache'])(
  'what Node writes about a child is under its own name, or not written: %s',
  async (name) => {
    expect(await fixturePasses('exit-files.cjs', { args: [name] })).toBe('done\n');
  },
);

import { expect, test } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

test('waits for forked children', async () => {
  expect(await fixturePasses('fork-and-waitpid.cjs')).toBe('done\n');
});

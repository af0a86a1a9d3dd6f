import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

describe('capabilities() says', () => {
  it('that there is fork()', async () => {
    expect(await fixturePasses('capability-reasons.cjs', { args: ['main'] })).toBe('done\n');
  });

  it('that a Worker has none', async () => {
    expect(await fixturePasses('capability-reasons.cjs', { args: ['worker'] })).toBe('done\n');
  });

  it.skipIf(process.getuid?.() !== 0)('which check at load has failed (as root only)', async (context) => {
    const output = await fixturePasses('capability-reasons.cjs', { args: ['withoutProc'] });
    if (output !== 'done\n') context.skip(output);
  });
});

/** The parent notices nothing of its forks. */
import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

describe('goes on through 50 forks', () => {
  it.each(['sockets', 'timers', 'watch', 'children', 'workers'])('%s', async (name) => {
    expect(await fixturePasses('fork-parent.cjs', { args: [name] })).toBe('done\n');
  });
});

describe("V8's mappings are marked DONTFORK as before", () => {
  it.each(['parent', 'child'])('in the %s', async (side) => {
    expect(await fixturePasses('fork-dontfork.cjs', { args: [side] })).toBe('done\n');
  });
});

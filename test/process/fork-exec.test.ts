import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

async function passes(testCase: string, without = 'plain'): Promise<void> {
  expect(await fixturePasses('fork-exec.cjs', { args: [testCase, without] })).toBe('done\n');
}

/** What a kernel, or a filter, may have none of; all must then be as it is with it. */
const without = ['plain', 'vfork', 'pidfd', 'vfork,pidfd', 'closeRange', 'closeRange,proc'];

describe.each(without)('forkExec() without: %s', (missing) => {
  it('streams, events and what was used', () => passes('streams', missing));
  it('failures leave nothing', () => passes('failures', missing));
  it('descriptors', () => passes('descriptors', missing));
  it('attributes', () => passes('attributes', missing));
});

describe('forkExec()', () => {
  it('fails at whatever step there is no descriptor left', () => passes('outOfDescriptors'));
  it('environment', () => passes('environment'));
  it("environment, by default the process's own", async () => {
    expect(await fixturePasses('exec-environment.cjs')).toBe('done\n');
  });
  it('stdio', () => passes('stdio'));
  it('parentDeathSignal', () => passes('parentDeath'));
  it('bad input', () => passes('badInput'));
});

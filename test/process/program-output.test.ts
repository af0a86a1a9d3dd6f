import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

async function passes(testCase: string, without = 'plain'): Promise<void> {
  expect(await fixturePasses('program-output.cjs', { args: [testCase, without] })).toBe('done\n');
}

describe.each(['plain', 'vfork,pidfd'])('forkExecSync() and capture() without: %s', (missing) => {
  it.each(['both', 'much', 'overflow', 'timeout', 'limitsOutliveTheProgram', 'failures'])('%s', (testCase) =>
    passes(testCase, missing),
  );
});

it('an end that has come in time', () => passes('inTime'));
it('capture() of a program that is not ours any more', () => passes('notOurs'));
it('capture() and forkExecSync() beside a polluted Object.prototype', () => passes('polluted'));
it('capture() is given up', () => passes('abort'));
it('forkExecSync() has further descriptors', () => passes('stdio'));
it('forkExecSync() in a Worker', () => passes('worker'));

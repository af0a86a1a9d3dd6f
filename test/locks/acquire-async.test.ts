import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

async function passes(testCase: string): Promise<void> {
  expect(await fixturePasses('lock-async.cjs', { args: [testCase] })).toMatch(/(^|\n)done\n$/);
}

describe('acquireAsync()', () => {
  it('makes the guard the owner', () => passes('owner'));
  it('keeps the flows of one thread apart', () => passes('flows'));
  it('has its turn among threads that hardly let go', () => passes('threads'));
  it('ends with its signal, or its timeout', () => passes('abort'));
  it('keeps the event loop alive', () => passes('alive'));
  it('says that the owner died', () => passes('ownerDied'));
  it('in a Worker that ends: orphaned if it held it, else as it was', () => passes('workerEnds'));
  it('belongs to the parent of a fork', () => passes('fork'));
});

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
  it('may be given up when another one has come', () => passes('firstOfTwo'));
  it('leaves an exception of its tick to the process', () => passes('throwing'));
  it('belongs to the parent of a fork that comes first', () => passes('forkBefore'));
  it('keeps the event loop alive', () => passes('alive'));
  it('says that the owner died', () => passes('ownerDied'));
  it('in a Worker that ends: orphaned if it held it, else as it was', () => passes('workerEnds'));
  it('belongs to the parent of a fork', () => passes('fork'));
});

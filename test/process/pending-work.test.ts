import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

async function passes(name: string): Promise<void> {
  expect(await fixturePasses('pending-work.cjs', { args: [name], timeout: 60_000 })).toBe('done\n');
}

describe("what libuv's pool has been asked for is the parent's", () => {
  it('when it is finished', () => passes('finished'));
  it('when it is being delivered', () => passes('inHand'));
  it('when it is being delivered in a turn of the loop within another', () => passes('inHandTwice'));
  it.each(['once', 'twice'])(
    'when it is being delivered %s, and the callback that forks has loaded the package',
    async (lots) => {
      expect(await fixturePasses('pending-work-early.cjs', { args: [lots] })).toBe('done\n');
    },
  );
  it('at any instant', () => passes('atAnyInstant'));
  it('in each of three generations', () => passes('generations'));
  it('when it waits in a system call, and what is queued behind it', () => passes('inSystemCalls'));
  it('when it waits to open a file', () => passes('inOpen'));
  it('but for fs.watchFile, which goes on', () => passes('watchFile'));
  it('and keeps no child alive', () => passes('keepsNobodyAlive'));
});

it("'throw' refuses where there is any", () => passes('refused'));
it("'wait' and quiesce() wait until nothing is inside the pool", () => passes('waits'));
it('quiesce() with no time looks', () => passes('looks'));

import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

async function passes(name: string): Promise<void> {
  expect(await fixturePasses('prevent-fork.cjs', { args: [name] })).toBe('done\n');
}

describe('preventFork() holds off fork()', () => {
  it('on the same thread', () => passes('mainThread'));
  it('from a Worker', () => passes('worker'));
  it('that has begun already', () => passes('enteredMeanwhile'));
  it('until a Worker is terminated', () => passes('terminated'));
  it('until a Worker ends the thread itself', () => passes('exits'));
  it('at any instant', () => passes('race'));
});

it('however the function ends, forks are possible again', () => passes('misuse'));
it('markNotForkSafe() holds it off for good', () => passes('notForkSafe'));

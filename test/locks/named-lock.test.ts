import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

async function passes(testCase: string): Promise<void> {
  expect(await fixturePasses('lock-named.cjs', { args: [testCase] })).toMatch(/(^|\n)done\n$/);
}

describe('named locks and semaphores', () => {
  it('have one name each, one rank, one number of permits', () => passes('names'));
  it('are locks like the global one', () => passes('recursion'));
  it('have as many permits as they say', () => passes('permits'));
  it('whose owner died say so, and are lost unless they are repaired', () => passes('ownerDied'));
  it('are listed with those who hold and who want them', () => passes('query'));
});

describe('when fork() is called', () => {
  it('stay as the forking thread holds them', () => passes('fork'));
  it('are waited for', () => passes('forkWaits'));
  it('name both owners of a deadlock, and nothing is forked', () => passes('deadlock'));
});

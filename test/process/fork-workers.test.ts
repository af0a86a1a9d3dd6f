/** Workers at the instant of a fork, whatever they are doing: they go on in the parent, and only end in the child. */
import { describe, expect, it } from 'vitest';

import { activityNames } from '../fixtures/activity-names.cjs';
import { fixturePasses } from '../helpers/run-fixture';

describe('go on in the parent, and end in the child', () => {
  it.each(activityNames)('%s', async (activity) => {
    expect(await fixturePasses('fork-workers.cjs', { args: [activity, '4'], timeout: 60_000 })).toBe('done\n');
  });
});

it('write nothing twice by way of the pool of the child', async () => {
  expect(await fixturePasses('fork-workers.cjs', { args: ['appends', '20'], timeout: 60_000 })).toBe('done\n');
});

describe('that nobody has seen being started', () => {
  it.each([
    ['older than the package: they end in the child', 'older'],
    ["Node's own for module hooks: it goes on in the child", 'hooksBefore'],
    ['the same, started later', 'hooksAfter'],
  ])('%s', async (_, name) => {
    expect(await fixturePasses('fork-early-workers.cjs', { args: [name] })).toBe('done\n');
  });
});

it('take no signal from a child', async () => {
  expect(await fixturePasses('fork-worker-signals.cjs', { args: ['20'] })).toBe('done\n');
});

it('ends a Worker alone that Node aborts on', async () => {
  expect(await fixturePasses('fork-worker-aborts.cjs')).toBe('done\n');
});

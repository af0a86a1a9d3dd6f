/** Workers at the instant of a fork, whatever they are doing: they go on in the parent, and only end in the child. */
import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

const activities = [
  'crypto cryptoAsync environment wasm require regexps postMessage garbage timers files',
  'writes compression busyLoop spawnSync nested nestedComings atomicsWait idle',
];

describe('go on in the parent, and end in the child', () => {
  it.each(activities.join(' ').split(' '))('%s', async (activity) => {
    expect(await fixturePasses('fork-workers.cjs', { args: [activity, '4'], timeout: 60_000 })).toBe('done\n');
  });
});

it('take no signal from a child', async () => {
  expect(await fixturePasses('fork-worker-signals.cjs', { args: ['20'] })).toBe('done\n');
});

import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

const cases = [
  'signals',
  'wait',
  'lifetimes',
  'stolen',
  'stolenWithPipes',
  'outputFirst',
  'context',
  'traced',
  'others',
  'fromPid',
  'forked',
  'forkedWithMany',
  'forkedWithNone',
  'notWatched',
  'unref',
  'workers',
  'leftByWorkers',
  'unread',
  'channel',
];

describe.each(['plain', 'pidfd'])('ChildHandle without: %s', (without) => {
  it.each(cases)('%s', async (name) => {
    expect(await fixturePasses('child-handle.cjs', { args: [name, without] })).toBe('done\n');
  });
});

it('a signal for the whole group before the ends of its children', async () => {
  expect(await fixturePasses('child-handle.cjs', { args: ['signalFirst'] })).toBe('done\n');
});

it('children that are left at exit', async () => {
  expect(await fixturePasses('left-at-exit.cjs')).toBe('done\n');
});

it('no program is started that nobody could be told of, where the stack is used up', async () => {
  const execArgv = ['--stack-size=200'];
  expect(await fixturePasses('exec-stack.cjs', { execArgv })).toBe('done\n');
});

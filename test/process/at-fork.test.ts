import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

async function passes(name: string, fixture = 'at-fork-hooks.cjs'): Promise<void> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'atfork-hooks-'));
  try {
    const options = { args: [name, folder], execArgv: ['--expose-gc'] };
    expect(await fixturePasses(fixture, options)).toBe('done\n');
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

const passesWithErrors = (name: string): Promise<void> => passes(name, 'at-fork-errors.cjs');

describe('hooks run', () => {
  it('before in reverse, after in order, of those who are registered', () => passes('order'));
  it('in a child that is complete', () => passes('child'));
  it('as methods of what was registered', () => passes('receiver'));
  it('in children of children', () => passes('inherited'));
  it('from the next fork on when one is under way, and not once unregistered', () => passes('duringAFork'));
  it('and cannot fork', () => passes('reentrant'));
  it('not for child_process', () => passes('foreign'));
  it('not in Workers', () => passes('worker'));
});

describe('when a `before` fails', () => {
  it('by throwing, the fork is refused, and what ran is undone', () => passesWithErrors('beforeThrows'));
  it('whatever it throws: the same', () => passesWithErrors('beforeThrowsAnything'));
  it('by returning a thenable: the same', () => passesWithErrors('beforeReturnsThenable'));
  it("and beforeErrors is 'continue', the parent is told", () => passesWithErrors('beforeContinues'));
});

describe('when a hook throws after the fork', () => {
  it('fork() returns all the same, and handlers are told on the right side', () => passesWithErrors('afterThrows'));
  it('without a handler it is thrown on the next tick of the right process', () => passesWithErrors('nobodyHears'));
  it('without a listener, too, that process ends', () => passesWithErrors('uncaughtInChild'));
});

describe('when fork() is refused', () => {
  it('afterwards, what `before` did is undone', () => passesWithErrors('refusedLater'));
  it('at once, no hook runs', () => passesWithErrors('refusedAtOnce'));
});

it('misuse is a TypeError', () => passes('misuse'));
it('100,000 rounds leave nothing behind', () => passes('leak'));

/** A child's end changes nothing of the stdio that it shares with its parent. */
import * as path from 'node:path';

import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

const fixture = path.join(__dirname, '../fixtures/fork-stdio.cjs');
const ends = ['processExit', 'naturally', 'uncaughtError', 'SIGTERM', 'SIGINT', 'SIGKILL'];
const ways = [...ends, 'setsRawMode', 'writes'];

/** The fixture on a stdio that Node alone cannot offer; python3 is there, node-gyp needs it. */
async function passes(kind: string, ...args: string[]): Promise<void> {
  const env = { NODE: process.env.ATFORK_TEST_NODE ?? process.execPath };
  const stdout = await fixturePasses('stdio-host.py', { node: 'python3', args: [kind, fixture, ...args], env });
  expect(stdout).toBe('done\n');
}

describe.each(['pipe', 'pty', 'socket', 'file'])('%s', (kind) => {
  it.each(['used', 'untouched'])('%s by the parent', (use) => passes(kind, use, ...ways, ...ways));

  it('closed in the child, which the parent uses', () => passes(kind, 'used', 'stdinClosed'));
});

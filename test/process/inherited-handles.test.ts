import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

async function passes(name: string): Promise<void> {
  expect(await fixturePasses('inherited-handles.cjs', { args: [name] })).toBe('done\n');
}

describe('a child closes what it has inherited, and nobody else notices', () => {
  it.each(['tcp', 'tls', 'unix', 'programs', 'keptAliveUpload', 'webSockets'])('with 10 MB queued: %s', passes);
  it('connections that are kept for the next request', () => passes('keptAlive'));
  it('with requests under way and queued', () => passes('requests'));
  it('with requests of this very turn', () => passes('requestsOfThisTurn'));
  it('with streams that are being read', () => passes('streamsUnderWay'));
  it('with requests that are being answered', () => passes('answers'));
  it.each(['http2', 'queries', 'channels', 'datagrams', 'watchers'])('%s', passes);
});

it.each([
  ['opened', []],
  ['flag', ['--inspect=127.0.0.1:0']],
])('a debugger stays with the parent: %s', async (name, execArgv) => {
  expect(await fixturePasses('inherited-inspector.cjs', { args: [name], execArgv })).toBe('done\n');
});

it.each(['socket', 'pipe', 'file'])('what stdout holds back is written once: %s', async (name) => {
  expect(await fixturePasses('unwritten-output.cjs', { args: [name] })).toBe('done\n');
});

it('but for listening sockets', () => passes('server'));
it('whose files stay where they are', () => passes('serverFile'));
it('and what it is told to keep', () => passes('kept'));
it('and, when it is told so, timers and listeners too', () => passes('timersAndListeners'));

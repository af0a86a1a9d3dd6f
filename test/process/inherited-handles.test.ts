import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

async function passes(name: string): Promise<void> {
  expect(await fixturePasses('inherited-handles.cjs', { args: [name] })).toBe('done\n');
}

describe('a child closes what it has inherited, and nobody else notices', () => {
  it.each(['tcp', 'tls', 'unix', 'programs'])('with 10 MB queued: %s', passes);
  it('connections that are kept for the next request', () => passes('keptAlive'));
  it('with requests under way and queued', () => passes('requests'));
  it('with requests that are being answered', () => passes('answers'));
  it.each(['http2', 'webSockets', 'queries', 'channels', 'datagrams', 'watchers'])('%s', passes);
});

it.each(['socket', 'pipe', 'file'])('what stdout holds back is written once: %s', async (name) => {
  expect(await fixturePasses('unwritten-output.cjs', { args: [name] })).toBe('done\n');
});

it('but for listening sockets', () => passes('server'));
it('and what it is told to keep', () => passes('kept'));
it('and, when it is told so, timers and listeners too', () => passes('timersAndListeners'));

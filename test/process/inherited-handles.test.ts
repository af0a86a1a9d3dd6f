import { describe, expect, it } from 'vitest';

import { fixturePasses } from '../helpers/run-fixture';

async function passes(name: string): Promise<void> {
  expect(await fixturePasses('inherited-handles.cjs', { args: [name] })).toBe('done\n');
}

async function passesHttp(name: string): Promise<void> {
  expect(await fixturePasses('inherited-http.cjs', { args: [name] })).toBe('done\n');
}

async function passesTls(name: string): Promise<void> {
  expect(await fixturePasses('inherited-tls.cjs', { args: [name] })).toBe('done\n');
}

describe('a child closes what it has inherited, and nobody else notices', () => {
  it.each(['tcp', 'tls', 'unix', 'programs'])('with 10 MB queued: %s', passes);
  it.each(['keptAliveUpload', 'webSockets'])('with 10 MB queued: %s', passesHttp);
  it('connections that are kept for the next request', () => passesHttp('keptAlive'));
  it('with requests under way and queued', () => passesHttp('requests'));
  it('with requests of this very turn', () => passesHttp('requestsOfThisTurn'));
  it('with streams that are being read', () => passesHttp('streamsUnderWay'));
  it('with streams that are read later', () => passesHttp('waitsLater'));
  it('with requests that are being answered', () => passesHttp('answers'));
  it.each(['ofServer', 'overSocket', 'insideTls'])('with 10 MB queued on TLS over another socket: %s', passesTls);
  it.each(['idle', 'beingRead', 'handshake', 'https', 'http2'])('TLS: %s', passesTls);
  it.each(['http2', 'http2UnderWay', 'http2Unread', 'pipelined', 'pipelinedUnanswered'])('%s', passesHttp);
  it.each(['writesUnderWay', 'keptWithQueue', 'keptWithEnd', 'watchMode'])('%s', passes);
  it.each(['channels', 'channelOnStdin', 'datagrams', 'watchers', 'watchedByPromise'])('%s', passes);
});

describe('dispatchers of undici', () => {
  const cases = [
    'agent',
    'agentOfOneConnection',
    'pool',
    'poolOfOneConnection',
    'poolInAgent',
    'client',
    'composed',
    'balanced',
  ];
  it.each([...cases, 'global', 'ofNode', 'proxyAgent', 'environmentsProxy', 'connecting', 'whileReading'])(
    '%s',
    async (name) => {
      expect(await fixturePasses('inherited-undici.cjs', { args: [name] })).toBe('done\n');
    },
  );
});

it.each(['callback', 'promise', 'reverse', 'defaultResolver', 'answered', 'failed'])(
  'a DNS query: %s',
  async (name) => {
    expect(await fixturePasses('inherited-queries.cjs', { args: [name] })).toBe('done\n');
  },
);

it.each([
  ['opened', []],
  ['flag', ['--inspect=127.0.0.1:0']],
])('a debugger stays with the parent: %s', async (name, execArgv) => {
  expect(await fixturePasses('inherited-inspector.cjs', { args: [name], execArgv })).toBe('done\n');
});

describe.skipIf(Number(process.versions.node.split('.')[0]) < 22 && process.env.ATFORK_TEST_NODE === undefined)(
  'a transaction of node:sqlite (which Node 20 has not) goes on in the parent, when a child leaves',
  () => {
    it.each(['naturally', 'exit', 'closing', 'collecting', 'removing', 'failing', 'iterating', 'opening'])(
      '%s',
      async (name) => {
        const execArgv = ['--no-warnings'];
        expect(await fixturePasses('inherited-databases.cjs', { args: [name], execArgv })).toBe('done\n');
      },
    );
  },
);

it.each(['socket', 'pipe', 'file'])('what stdout holds back is written once: %s', async (name) => {
  expect(await fixturePasses('unwritten-output.cjs', { args: [name] })).toBe('done\n');
});

it.each(['SCHED_RR', 'SCHED_NONE'])('what listens for the workers of node:cluster: %s', async (policy) => {
  expect(await fixturePasses('inherited-cluster.cjs', { args: [policy] })).toBe('done\n');
});

it('but for listening sockets', () => passes('server'));
it('whose files stay where they are', () => passes('serverFile'));
it('and what it is told to keep', () => passes('kept'));
it('of each kind', () => passes('keptKinds'));
it('also when an object of the program fails', () => passes('failing'));
it('and, when it is told so, timers and listeners too', () => passes('timersAndListeners'));

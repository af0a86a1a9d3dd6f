/**
 * Forks of an HTTP server that is asked all the time, whose answers need its Workers and libuv's pool. Each answer comes whole
 * and once, and a child has the listening socket, and no other.
 * Arguments: the case; how many forks; to report progress on stderr, after how many of them each.
 */
const { deepEqual, equal, match } = require('node:assert/strict');
const crypto = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const { promisify } = require('node:util');
const { Worker } = require('node:worker_threads');
const { end, exited, start } = require('../helpers/forked.cjs');
const { bodyOf, startLoad } = require('../helpers/http-load.cjs');
const { runCase } = require('./case.cjs');

const clients = 20;

/** Children that live at the same time. */
const together = 4;

const hash = promisify(crypto.pbkdf2);

/** A Worker that says again what it is told. */
class Echo {
  #worker = new Worker(
    'const { parentPort: port } = require("worker_threads"); port.on("message", (m) => port.postMessage(m))',
    {
      eval: true,
    },
  );
  #waiting = [];

  constructor() {
    this.#worker.on('message', (text) => this.#waiting.shift()(text));
  }

  say(text) {
    this.#worker.postMessage(text);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  end() {
    return this.#worker.terminate();
  }
}

/** By the number of the request: who has a part in the answer. */
function helpers(workers) {
  return [
    () => {},
    () => hash('a', 'b', 100, 32, 'sha1'),
    () => fs.promises.readFile(__filename),
    async (number) => equal(await workers[number % workers.length].say(number), number),
  ];
}

/** What the descriptors of this process stand for beyond stdio, but for those of event loops, and for files. */
function connections() {
  const links = fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return Number(fd) > 2 ? [fs.readlinkSync(`/proc/self/fd/${fd}`)] : [];
    } catch {
      return []; // the folder's own
    }
  });
  return links.filter((link) => !/^(\/|pipe:|anon_inode:\[(eventpoll|eventfd|io_uring)\])/.test(link));
}

async function forks(argument, progress) {
  const workers = [new Echo(), new Echo()];
  const help = helpers(workers);
  let answered = 0;
  const server = http.createServer(async (request, response) => {
    const [, number, bytes] = request.url.split('/').map(Number);
    await help[number % help.length](number);
    ++answered;
    response.end(bodyOf(number, bytes));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  let connected = 0;
  server.on('connection', () => ++connected);
  const { stop, hasStopped } = await startLoad(server.address().port, clients);
  // A connection that is made later could come to a child, which listens too.
  while (connected < clients) await new Promise(setImmediate);

  const body = async () => {
    await new Promise(setImmediate); // what is closed is gone
    const [listening, ...others] = connections();
    match(listening, /^socket:/);
    deepEqual(others, []);
    server.close();
    deepEqual(connections(), []);
  };
  const children = new Set();
  const see = async (pid) => deepEqual(await end(pid), exited(0));
  for (let forked = 1; forked <= Number(argument); ++forked) {
    const before = answered;
    const pid = await start(body, { leave: forked % 2 === 0 ? 'naturally' : 'exit' });
    const child = see(pid).then(() => children.delete(child));
    children.add(child);
    while (children.size >= together || answered === before) {
      if (hasStopped()) deepEqual((await stop()).wrong, []);
      await new Promise(setImmediate);
    }
    if (forked % Number(progress) === 0) console.error(`${forked} forks, ${answered} answers`);
  }
  await Promise.all(children);
  const seen = await stop();
  deepEqual(seen.wrong, []);
  equal(seen.answered, answered);
  if (progress !== undefined) console.error(`at the end: ${argument} forks, ${answered} answers, each whole and once`);
  server.close();
  server.closeAllConnections();
  await Promise.all(workers.map((worker) => worker.end()));
}

void runCase({ forks });

/** A child is a client of its parent. */
const { deepEqual, equal } = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const { text } = require('node:stream/consumers');
const { end, exited, start, succeedsInChild } = require('../helpers/forked.cjs');
const { runCase } = require('./case.cjs');

async function ask(port) {
  const [response] = await once(http.get({ port, host: '127.0.0.1', agent: false }), 'response');
  return await text(response);
}

void runCase({
  async http() {
    const server = http.createServer((request, response) => response.end(String(process.pid)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    const askParent = async () => {
      server.close(); // its copy; else both would accept
      equal(await ask(port), String(process.ppid));
    };
    equal(await ask(port), String(process.pid));
    for (let i = 0; i < 3; ++i) await succeedsInChild(askParent);
    const together = [];
    while (together.length < 3) together.push(await start(askParent, { leave: 'exit' }));
    for (const pid of together) deepEqual(await end(pid), exited(0));
    equal(await ask(port), String(process.pid));
    server.closeAllConnections();
    server.close();
  },
});

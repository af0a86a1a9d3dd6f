/**
 * Clients of an HTTP server, in a process of their own (a program, started by `startLoad`): each asks again and again, over a
 * connection that it keeps, and looks at every byte of every answer. Arguments: the port; how many clients.
 */
const { fork: forkProgram } = require('node:child_process');
const { once } = require('node:events');
const http = require('node:http');
const { buffer } = require('node:stream/consumers');

/** What the server is to answer to the request `number` for so many bytes: no other answer is like it. */
const bodyOf = (number, bytes) => Buffer.alloc(bytes, `${number} `);

const sizes = [10, 1000, 100_000];

async function ask(port, agent, number) {
  const bytes = sizes[number % sizes.length];
  const request = http.get({ port, host: '127.0.0.1', agent, path: `/${number}/${bytes}` });
  const [response] = await once(request, 'response');
  const body = await buffer(response);
  if (response.statusCode !== 200 || !body.equals(bodyOf(number, bytes)))
    throw new Error(`answer ${number} is another`);
}

/** Until it is told to stop, or something is wrong; then sends how many have been answered, and what was wrong. */
async function load(port, clients) {
  let stopped = false;
  let asked = 0;
  let answered = 0;
  const wrong = [];
  process.once('message', () => (stopped = true));
  const client = async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    while (!stopped && wrong.length === 0) {
      await ask(port, agent, asked++);
      ++answered;
    }
    agent.destroy();
  };
  const complain = (error) => wrong.push(String(error.stack));
  await Promise.all(Array.from({ length: clients }, () => client().catch(complain)));
  process.send({ answered, wrong });
  process.disconnect();
}

/** Resolves to a function that stops it and resolves to what it has seen, and one that says whether it has stopped by itself. */
async function startLoad(port, clients) {
  const program = forkProgram(__filename, [port, clients], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  let seen = null;
  program.once('message', (message) => (seen = message));
  const gone = Promise.all([once(program, 'exit'), once(program, 'disconnect')]);
  await once(program, 'spawn');
  const stop = async () => {
    if (program.connected) program.send('stop');
    const [[code, signal]] = await gone;
    return seen ?? { wrong: [`it ended with ${code ?? signal}`] };
  };
  return { stop, hasStopped: () => !program.connected };
}

module.exports = { bodyOf, startLoad };

if (require.main === module) void load(...process.argv.slice(2).map(Number));

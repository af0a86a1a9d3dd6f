/**
 * A debugger, in a process of its own (a program, started by `attach`), over Node's inspector protocol: a line on stdin is an
 * expression, a line on stdout its value, or `closed`. Argument: the address.
 */
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const readline = require('node:readline');

function serve(url) {
  const socket = new (require('ws').WebSocket)(url);
  socket.on('open', () => console.log('open'));
  socket.on('message', (text) => console.log(JSON.stringify(JSON.parse(text).result.result.value)));
  socket.on('close', () => console.log('closed'));
  let id = 0;
  const lines = readline.createInterface({ input: process.stdin });
  lines.on('line', (expression) => {
    socket.send(JSON.stringify({ id: ++id, method: 'Runtime.evaluate', params: { expression } }));
  });
  lines.on('close', () => process.exit()); // whoever started it is gone
}

/** Resolves to a function that has an expression evaluated, and one that ends it. */
async function attach(url) {
  const program = spawn(process.execPath, [__filename, url], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = readline.createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value;
  if ((await next()) !== 'open') throw new Error('it did not get there');
  const evaluate = async (expression) => {
    program.stdin.write(`${expression}\n`);
    return next();
  };
  const detach = async () => {
    const exited = once(program, 'exit');
    program.kill('SIGKILL');
    await exited;
  };
  return { evaluate, detach };
}

module.exports = { attach };

if (require.main === module) serve(process.argv[2]);

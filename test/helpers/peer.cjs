/**
 * The other end of a connection, in a process of its own (a program, started by `startPeer`). It tells how many bytes have come
 * and their hash, for each stream that has ended or broken, each HTTP request, and each WebSocket that was closed, with the
 * number of the connection. Arguments: 'tcp', 'tls', 'unix', 'http' or 'ws'; a folder for the socket.
 */
const { spawn } = require('node:child_process');
const crypto = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const readline = require('node:readline');
const tls = require('node:tls');

const credentials = fs.readFileSync(path.join(__dirname, '..', 'fixtures', 'tls-localhost.pem'));

const tell = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

let connections = 0;

/** What has come over one connection. */
class Received {
  connection = ++connections;
  #hash = crypto.createHash('sha256');
  #bytes = 0;

  add(data) {
    this.#bytes += data.length;
    this.#hash.update(data);
  }

  tell(more = {}) {
    tell({ connection: this.connection, bytes: this.#bytes, hash: this.#hash.copy().digest('hex'), ...more });
  }
}

function receive(stream) {
  const received = new Received();
  stream.on('data', (data) => received.add(data));
  stream.on('end', () => received.tell());
  stream.on('error', ({ message }) => received.tell({ error: message }));
}

/** Answers each request with the number of its connection. */
function answer(request, response) {
  const received = new Received();
  received.connection = request.socket.connection;
  request.on('data', (data) => received.add(data));
  request.on('end', () => {
    received.tell({ url: request.url });
    response.end(String(received.connection));
  });
  request.on('error', ({ message }) => received.tell({ error: message }));
}

function receiveMessages(socket) {
  const received = new Received();
  socket.on('message', (data) => received.add(data));
  socket.on('close', (code) => received.tell({ code }));
}

const servers = {
  tcp: () => net.createServer(receive),
  unix: () => net.createServer(receive),
  tls: () => tls.createServer({ key: credentials, cert: credentials }, receive),
  http: () => http.createServer(answer).on('connection', (socket) => (socket.connection = ++connections)),
  ws() {
    const server = http.createServer();
    new (require('ws').WebSocketServer)({ server }).on('connection', receiveMessages);
    return server;
  },
};

function serve(kind, folder) {
  process.stdin.resume().on('end', () => process.exit()); // whoever started it is gone
  const at = kind === 'unix' ? [path.join(folder, 'peer')] : [0, '127.0.0.1'];
  const server = servers[kind]();
  server.listen(...at, () => tell(kind === 'unix' ? { path: at[0] } : { port: server.address().port, host: at[1] }));
}

/** Resolves to where it listens, the next of what it tells, and its end. */
async function startPeer(kind, folder) {
  const program = spawn(process.execPath, [__filename, kind, folder], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = readline.createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value);
  const end = async () => {
    program.kill('SIGKILL');
    await once(program, 'exit');
  };
  /** Reads no more until it goes on. */
  const stop = () => program.kill('SIGSTOP');
  const goOn = () => program.kill('SIGCONT');
  return { address: await next(), next, end, stop, goOn };
}

/** Resolves to a connection to it. */
async function connect(kind, address) {
  const secure = { ...address, ca: credentials, servername: 'localhost' };
  const socket = kind === 'tls' ? tls.connect(secure) : net.connect(address);
  await once(socket, kind === 'tls' ? 'secureConnect' : 'connect');
  return socket;
}

module.exports = { connect, startPeer };

if (require.main === module) serve(...process.argv.slice(2));

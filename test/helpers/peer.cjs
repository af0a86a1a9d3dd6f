/**
 * The other end of a connection, in a process of its own (a program, started by `startPeer`): it tells how many bytes have come
 * and their hash, when the stream has ended or broken. Arguments: 'tcp', 'tls' or 'unix'; a folder for the socket.
 */
const { spawn } = require('node:child_process');
const crypto = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const readline = require('node:readline');
const tls = require('node:tls');

const credentials = fs.readFileSync(path.join(__dirname, '..', 'fixtures', 'tls-localhost.pem'));

function serve(kind, folder) {
  const tell = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
  const onConnection = (socket) => {
    const hash = crypto.createHash('sha256');
    let bytes = 0;
    socket.on('data', (data) => {
      bytes += data.length;
      hash.update(data);
    });
    socket.on('end', () => tell({ bytes, hash: hash.digest('hex') }));
    socket.on('error', ({ message }) => tell({ bytes, error: message }));
  };
  const server =
    kind === 'tls'
      ? tls.createServer({ key: credentials, cert: credentials }, onConnection)
      : net.createServer(onConnection);
  const at = kind === 'unix' ? [path.join(folder, 'peer')] : [0, '127.0.0.1'];
  server.listen(...at, () => tell(kind === 'unix' ? { path: at[0] } : { port: server.address().port, host: at[1] }));
}

/** Resolves to where it listens, the next of what it tells, and its end. */
async function startPeer(kind, folder) {
  const program = spawn(process.execPath, [__filename, kind, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = readline.createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value);
  const end = async () => {
    program.kill('SIGKILL');
    await once(program, 'exit');
  };
  return { address: await next(), next, end };
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

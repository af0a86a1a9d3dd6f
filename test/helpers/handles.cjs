/** What the fixtures of inherited handles look at. */
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/** A folder of this process's, which goes when that ends, and not with its children. */
function temporaryFolder() {
  const self = process.pid;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'atfork-'));
  process.on('exit', () => process.pid === self && fs.rmSync(folder, { recursive: true }));
  return folder;
}

const megabytes = (count) => crypto.randomBytes(count * 1024 * 1024);
const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex');

/** What an object says from here on: names of events, an error with its message. */
function listen(emitter, events = ['close', 'error', 'end', 'aborted', 'disconnect']) {
  const heard = [];
  for (const event of events) emitter.on(event, (value) => heard.push(event === 'error' ? value.message : event));
  return heard;
}

/** The descriptors of sockets and pipes beyond stdio, but for those of event loops, by what they are. */
function connectionsOpen() {
  return fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return Number(fd) > 2 && fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // the folder's own
    }
  });
}

/** What the peer tells when it has got this, whole and in order. */
function received(connection, ...parts) {
  const whole = Buffer.concat(parts);
  return { connection, bytes: whole.length, hash: sha256(whole) };
}

module.exports = { connectionsOpen, listen, megabytes, received, sha256, temporaryFolder };

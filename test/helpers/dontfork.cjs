/**
 * Where V8's mappings are marked MADV_DONTFORK ("dc" in /proc/self/smaps), address by address: two pictures of it, taken with
 * next to no allocation between them, or V8 would map and unmap in the meantime.
 */
const assert = require('node:assert/strict');
const fs = require('node:fs');

const pictures = [0, 1].map(() => ({ bytes: Buffer.alloc(16 << 20), length: 0 }));

function take(picture) {
  const fd = fs.openSync('/proc/self/smaps');
  picture.length = 0;
  for (let read = 1; read > 0; picture.length += read) {
    read = fs.readSync(fd, picture.bytes, picture.length, 1 << 16, null);
  }
  fs.closeSync(fd);
}

/** The mappings of a picture: begin, end (excluded), whether they are marked, and what else the kernel says of them. */
function mappings(picture) {
  const list = [];
  for (const line of picture.bytes.latin1Slice(0, picture.length).split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line);
    if (head !== null) list.push({ begin: parseInt(head[1], 16), end: parseInt(head[2], 16), protection: head[3] });
    if (line.startsWith('Rss:')) list.at(-1).resident = Number.parseInt(line.slice(4));
    if (!line.startsWith('VmFlags:')) continue;
    const flags = line.split(' ').slice(1);
    list.at(-1).marked = flags.includes('dc');
    list.at(-1).others = flags.filter((flag) => flag !== 'dc').join(' ');
  }
  return list;
}

/**
 * What is mapped alike in both pictures has its mark in both or in neither. Where the kernel splits a mapping is its own
 * affair; and V8 may have mapped, unmapped or protected something in between, or be about to mark what is new and empty.
 */
function compare([before, after]) {
  const olds = mappings(before);
  const news = mappings(after);
  assert.ok(olds.filter(({ marked }) => marked).length > 3, 'V8 has marked something');
  const changed = [];
  for (let i = 0, j = 0; i < olds.length && j < news.length; olds[i].end < news[j].end ? ++i : ++j) {
    const begin = Math.max(olds[i].begin, news[j].begin);
    const end = Math.min(olds[i].end, news[j].end);
    const alike = olds[i].protection === news[j].protection && olds[i].others === news[j].others;
    if (begin >= end || !alike || olds[i].resident === 0 || olds[i].marked === news[j].marked) continue;
    changed.push(`${begin.toString(16)}-${end.toString(16)} ${news[j].marked ? 'gained' : 'lost'} its mark`);
  }
  assert.deepEqual(changed, []);
}

/** V8's workers, above all: what they do may change the heap's mappings. Proc(5), the state after the name. */
async function untilOthersRest() {
  const runs = (thread) => {
    const stat = fs.readFileSync(`/proc/self/task/${thread}/stat`, 'latin1');
    return Number(thread) !== process.pid && stat.slice(stat.lastIndexOf(')') + 2)[0] === 'R';
  };
  while (fs.readdirSync('/proc/self/task').some(runs)) await new Promise(setImmediate);
}

module.exports = { compare, pictures, take, untilOthersRest };

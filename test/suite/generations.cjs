/** Children of children: what was brought back once has to be brought back again. */
const { deepEqual, equal } = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const { fork, waitpid } = require('../..');
const { end, exited, start } = require('../helpers/forked.cjs');
const { runCase } = require('./case.cjs');

const bound = 20_000;

async function live() {
  const some = Array.from({ length: 20_000 }, (_, i) => ({ i }));
  gc();
  equal(some[777].i, 777);
  await fs.promises.readFile(__filename);
}

/** Each of them both a child and a parent of several at a time. */
async function branch(depth) {
  const pids = [];
  while (depth > 0 && pids.length < 2) pids.push(await start(() => branch(depth - 1)));
  await live();
  for (const pid of pids) deepEqual(await end(pid), exited(0));
}

/** A child's first act, when not every thread that was brought back has run yet. `act` returns its exit code. */
function atOnce(act) {
  const pid = fork();
  if (pid === 0) process.exit(act());
  deepEqual(waitpid(pid, { timeout: bound }), exited(5));
}

/**
 * From here on no thread that is started by this one runs before it sleeps: all have one CPU, and the same real-time priority
 * (sched(7)). Not every container allows that.
 */
function runBeforeOthers() {
  const [cpu] = /^Cpus_allowed_list:\s+\d+/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))[0].match(/\d+/);
  spawnSync('taskset', ['--cpu-list', '--pid', cpu, process.pid]);
  spawnSync('chrt', ['--fifo', '--pid', '1', process.pid]);
}

/** The user that each thread of this process has the rights of. */
function usersOfThreads() {
  const users = fs.readdirSync('/proc/self/task').map((tid) => {
    return /^Uid:\s+\d+\s+(\d+)/m.exec(fs.readFileSync(`/proc/self/task/${tid}/status`, 'utf8'))[1];
  });
  return [...new Set(users)];
}

const times = 30;

void runCase({
  tree: () => branch(3),

  forkAtOnce() {
    for (let i = 0; i < times; ++i) {
      atOnce(() => {
        atOnce(() => 5);
        return 5;
      });
    }
  },

  /** Only as root. */
  setuidAtOnce() {
    for (let i = 0; i < times; ++i) {
      if (i === times / 2) runBeforeOthers();
      atOnce(() => {
        process.setuid(65534);
        deepEqual(usersOfThreads(), ['65534']);
        return 5;
      });
    }
  },
});

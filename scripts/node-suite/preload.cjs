'use strict';
/**
 * The first thing that runs in a process that is to run one of Node's own tests. In mode 'fork' it forks: the child
 * goes on with the test, and the parent only waits and then ends as the child ended. In mode 'child-process' the functions
 * of atfork/child-process take the place of Node's. 'load' loads atfork and leaves it at that; 'plain' does nothing.
 *
 * The mode comes in an environment variable that is taken away here, so that no Worker and no process that the test
 * starts does the same again: child_process.fork() and Workers hand --require on.
 */
const { syncBuiltinESMExports } = require('node:module');

const mode = process.env.ATFORK_NODE_SUITE;
delete process.env.ATFORK_NODE_SUITE;

if (mode === 'load' || mode === 'fork') {
  const { _exit, fork, waitpid } = require('../../dist/index.js');
  const pid = mode === 'fork' ? fork({ quiesceTimeout: 30_000 }) : 0;
  if (pid !== 0) {
    const { exitCode, signalCode } = waitpid(pid);
    // A signal to oneself is handled before kill(2) returns; should it be ignored here, the end is still a failure.
    if (signalCode !== null) process.kill(process.pid, signalCode);
    _exit(exitCode ?? 1);
  }
}

if (mode === 'child-process') {
  Object.assign(require('node:child_process'), require('../../dist/process/child-process.js'));
  syncBuiltinESMExports();
}

'use strict';
/** What child_process.fork and Worker start for first-js.cjs: says when its first statement ran. Nothing before it. */
const firstStatement = String(process.hrtime.bigint());
if (process.send) process.send(firstStatement);
else require('node:worker_threads').parentPort.postMessage(firstStatement);

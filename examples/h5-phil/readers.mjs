/** The Workers that read, as the main thread sees them. */
import { Worker } from 'node:worker_threads';

import { globalLock } from 'atfork';

export class Readers {
  /** How many reads there were, and when the lock was last released (process.hrtime.bigint). Written by the Workers. */
  #reads = new Int32Array(new SharedArrayBuffer(4));
  released = new BigInt64Array(new SharedArrayBuffer(8));

  #workers;
  #toDo;
  #tids = new Map();
  #running;
  #failure = null;

  /** One Worker per file (`{ path, sum }`), to read it `times` times. */
  constructor(files, times) {
    this.#toDo = files.length * times;
    this.#running = files.length;
    this.#workers = files.map((file, n) =>
      this.#start(n, { file, times, reads: this.#reads, released: this.released }),
    );
  }

  #start(n, workerData) {
    const worker = new Worker(new URL('reader.mjs', import.meta.url), { workerData });
    worker.once('message', (tid) => this.#tids.set(tid, `Worker ${n}`));
    worker.once('error', (error) => (this.#failure ??= error));
    worker.once('exit', () => (this.#running -= 1));
    return worker;
  }

  get ready() {
    return this.#tids.size === this.#workers.length;
  }

  begin() {
    for (const worker of this.#workers) worker.postMessage('begin');
  }

  /** How much of the work is done, 0 to 1. */
  get progress() {
    return Atomics.load(this.#reads, 0) / this.#toDo;
  }

  /** The Worker that holds the lock at this moment, by name. */
  get holder() {
    return this.#tids.get(globalLock.owner?.tid);
  }

  get ended() {
    return this.#running === 0;
  }

  /** What made a Worker fail, or null. */
  get failure() {
    return this.#failure;
  }

  terminate() {
    return Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

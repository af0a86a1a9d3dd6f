/**
 * The main thread's own Workers, so that a forked child can end them.
 *
 * Node offers no list. Its diagnostics channel `worker_threads` names each Worker in the middle of its construction, just
 * after its thread was started: that also tells the native side which start routine is a Worker's. Those that are older
 * than this package are asked of the inspector.
 *
 * Node has a Worker of its own: the thread that runs the hooks of `module.register`, which the main thread waits for
 * whenever it imports something. It goes on in the child.
 */
import * as diagnosticsChannel from 'node:diagnostics_channel';
import { type MessagePort, Worker } from 'node:worker_threads';

import { instancesOf } from './heap-instances';
import { leaveWithoutTeardown } from './leave';
import type { NativeFork } from './native-fork';
import type { NativeProcess } from './native-process';
import { hidden, silence } from './silence';

/** The loops that a Node process has without any Worker: the main one, the delayed tasks', the tracing agent's. */
const ordinaryLoops = 3;

/** Node's own, whatever a program makes of its Workers' method. */
// eslint-disable-next-line @typescript-eslint/unbound-method -- called with the receiver below
const { terminate } = Worker.prototype;

/** Weak: a Worker that ended may be collected. */
let known: WeakRef<Worker>[] = [];

/** Whether the list is kept. */
let isWatching = false;

/** Keeps the list from here on. Returns why it cannot be complete, or null. */
export function watchWorkers(native: NativeFork): string | null {
  diagnosticsChannel.subscribe('worker_threads', (message) => {
    const { worker } = message as { worker: Worker };
    native.learnWorkerRoutine(isNodes(worker));
    add(worker);
  });
  const incomplete = native.eventLoops() > ordinaryLoops ? addEarlierWorkers(native) : null;
  isWatching = incomplete === null;
  return incomplete;
}

/** Whether there may be any. One that another one started does not outlive it. */
export function hasWorkers(): boolean {
  return !isWatching || known.some((reference) => isLive(reference.deref()));
}

/** Those of the program whose 'exit' has not been emitted. */
function liveWorkers(): Worker[] {
  const workers = known.map((reference) => reference.deref()).filter(isLive);
  return workers.filter((worker) => !isNodes(worker));
}

/**
 * Child: ends the program's Workers, which have been brought along for that. What they said before the fork and what
 * becomes of them now is the parent's to hear: here each emits 'exit', as after `terminate()`, and nothing else.
 */
export function endWorkers(native: NativeFork & NativeProcess): void {
  const workers = liveWorkers();
  finishAborted(native, workers);
  for (const worker of workers) void terminate.call(worker);
  for (const worker of workers) {
    silence(worker, silenced);
    try {
      worker.stdout.unpipe();
      worker.stderr.unpipe();
    } catch {
      // The program may have replaced these; to throw from fork() means that there is no child.
    }
  }
}

/**
 * A Worker may be ended by an assertion of Node's own that fails on it (runtime/worker_aborts). Nobody tells its object, so it
 * is done here. Which one it was is known as soon as all others have ended.
 */
function finishAborted(native: NativeFork & NativeProcess, workers: Worker[]): void {
  let finished = 0;
  let listening = false;
  const look = (): void => {
    if (!listening) {
      listening = true;
      // Such a Worker's isolate is never disposed of, and that of the main thread cannot be while there are others (PagePool).
      leaveWithoutTeardown((code) => native.exit(code));
      for (const worker of workers) worker.on('exit', look);
    }
    const left = workers.filter(isLive);
    if (left.length > native.abortedWorkers() - finished) return;
    finished += left.length;
    left.forEach(finish);
  };
  native.listenToAborts(look);
  // Before anybody listened: not within fork().
  if (native.abortedWorkers() > 0) process.nextTick(look);
}

interface WorkerHandle {
  unref(): void;
  onexit(code: number, error: null, reason: null): void;
}

/** What Node does when a Worker's thread has told that it ends: lib/internal/worker.js, [kOnExit]. */
function finish(worker: Worker): void {
  const handle = hidden(worker, 'kHandle') as WorkerHandle;
  const ports = ['kPort', 'kPublicPort'].map((name) => hidden(worker, name) as MessagePort);
  handle.unref();
  handle.onexit(1, null, null);
  for (const port of ports) port.close();
}

/**
 * What it still says, it says in the parent. Here it may also fail before it notices that it has been terminated; and
 * listeners may be added later, by events.once() for one, which takes an 'error' for the answer.
 */
const silenced = ['online', 'message', 'messageerror', 'error'];

function add(worker: Worker): void {
  known = known.filter((reference) => isLive(reference.deref()));
  known.push(new WeakRef(worker));
}

/** Node sets `threadId` to -1 when a Worker has ended. */
function isLive(worker: Worker | undefined): worker is Worker {
  return worker !== undefined && worker.threadId !== -1;
}

function isNodes(worker: Worker): boolean {
  return worker.constructor.name === 'InternalWorker';
}

function addEarlierWorkers(native: NativeFork): string | null {
  const workers = instancesOf(Worker) as Worker[] | null;
  if (workers === null)
    return 'Workers may have been started before atfork was loaded, and there is no inspector to ask';
  const earlier = workers.filter(isLive).sort((a, b) => a.threadId - b.threadId);
  if (earlier.length === 0) return null;
  // Which start routine is theirs is told by one that is started now.
  new Worker('', { eval: true, stdout: true, stderr: true }).unref();
  const nodes = earlier.filter(isNodes);
  if (nodes.length === 0) {
    earlier.forEach(add);
    return null;
  }
  if (nodes.length > 1 || earlier[0] !== nodes[0] || !native.keepEarliestWorker()) {
    return "which thread runs Node's module hooks cannot be told: load atfork before module.register is called";
  }
  earlier.forEach(add);
  return null;
}

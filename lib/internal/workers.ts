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
import type * as inspectorModule from 'node:inspector';
import { Worker } from 'node:worker_threads';

import type { NativeFork } from './native-fork';
import type { NativeProcess } from './native-process';

/** The loops that a Node process has without any Worker: the main one, the delayed tasks', the tracing agent's. */
const ordinaryLoops = 3;

/** Node's own, whatever a program makes of its Workers' method. */
// eslint-disable-next-line @typescript-eslint/unbound-method -- called with the receiver below
const { terminate } = Worker.prototype;

/** Weak: a Worker that ended may be collected. */
let known: WeakRef<Worker>[] = [];

/** Keeps the list from here on. Returns why it cannot be complete, or null. */
export function watchWorkers(native: NativeFork): string | null {
  diagnosticsChannel.subscribe('worker_threads', (message) => {
    const { worker } = message as { worker: Worker };
    native.learnWorkerRoutine(isNodes(worker));
    add(worker);
  });
  return native.eventLoops() > ordinaryLoops ? addEarlierWorkers(native) : null;
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
    silence(worker);
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
      leaveWithoutTeardown(native);
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

interface WorkerInternals {
  kHandle: { unref(): void; onexit(code: number, error: null, reason: null): void };
  kPort: { close(): void };
  kPublicPort: { close(): void };
}

/** What Node does when a Worker's thread has told that it ends: lib/internal/worker.js, [kOnExit]. */
function finish(worker: Worker): void {
  const handle = internal(worker, 'kHandle');
  const ports = [internal(worker, 'kPort'), internal(worker, 'kPublicPort')];
  handle.unref();
  handle.onexit(1, null, null);
  for (const port of ports) port.close();
}

/** Such a Worker's isolate is never disposed of, and that of the main thread cannot be while there are others (PagePool). */
function leaveWithoutTeardown(native: NativeProcess): void {
  const leave = (code: number): void => {
    process.removeListener('exit', leave);
    process.emit('exit', code);
    native.exit(Number(process.exitCode ?? code));
  };
  process.prependListener('exit', leave);
}

function internal<K extends keyof WorkerInternals>(worker: Worker, name: K): WorkerInternals[K] {
  const symbol = Object.getOwnPropertySymbols(worker).find(({ description }) => description === name);
  return Reflect.get(worker, symbol ?? name) as WorkerInternals[K];
}

/**
 * What it still says, it says in the parent. Here it may also fail before it notices that it has been terminated; and
 * listeners may be added later, by events.once() for one, which takes an 'error' for the answer.
 */
function silence(worker: Worker): void {
  const events: unknown[] = ['online', 'message', 'messageerror', 'error'];
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with the receiver below
  const { emit } = worker;
  const value = (event: string, ...rest: unknown[]): boolean => {
    return !events.includes(event) && (emit as (...all: unknown[]) => boolean).call(worker, event, ...rest);
  };
  Object.defineProperty(worker, 'emit', { value, writable: true, configurable: true });
}

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
  const workers = instancesOf(Worker);
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

interface RemoteObject {
  objectId: string;
}

/** All objects of class `constructor` on this thread's heap; null without an inspector. */
function instancesOf(constructor: typeof Worker): Worker[] | null {
  const inspector = optionalInspector();
  if (inspector === null) return null;
  const session = new inspector.Session();
  session.connect();
  // The debugger's functions meet this thread's objects in a global variable, under a name that nobody else uses.
  const meeting = Symbol.for('atfork.workers');
  const globals = globalThis as unknown as Record<symbol, unknown>;
  globals[meeting] = constructor.prototype;
  try {
    const expression = "globalThis[Symbol.for('atfork.workers')]";
    const { result } = post(session, 'Runtime.evaluate', { expression }) as { result: RemoteObject };
    const query = { prototypeObjectId: result.objectId };
    const { objects } = post(session, 'Runtime.queryObjects', query) as { objects: RemoteObject };
    const functionDeclaration = "function () { globalThis[Symbol.for('atfork.workers')] = this; }";
    post(session, 'Runtime.callFunctionOn', { objectId: objects.objectId, functionDeclaration });
    const found = globals[meeting] as Worker[];
    // Prototypes of subclasses inherit from it too, but were never constructed.
    return Array.from(found).filter((object) => !Object.hasOwn(object, 'constructor'));
  } finally {
    Reflect.deleteProperty(globals, meeting);
    session.disconnect();
  }
}

function optionalInspector(): typeof inspectorModule | null {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- absent in builds without it
    return require('node:inspector') as typeof inspectorModule;
  } catch {
    return null;
  }
}

/** The inspector answers in the same turn: the session is this thread's own. */
function post(session: inspectorModule.Session, method: string, parameters: object): unknown {
  let answer: unknown;
  session.post(method, parameters, (error, result) => {
    if (error === null) answer = result;
  });
  if (answer === undefined) throw new Error(`inspector: ${method} failed`);
  return answer;
}

/**
 * `atfork/child-process`: node:child_process, whose programs are started as forkExec() starts them, so that the event loop
 * does not stand still for as long as it takes to copy this process's memory map.
 *
 * Node's own ChildProcess does everything but the start, the signals and the wait: these are asked of its `_handle`, which is
 * another one here. So options, errors, streams and IPC are Node's.
 */
import { AsyncResource } from 'node:async_hooks';
import * as childProcess from 'node:child_process';
import { promisify } from 'node:util';

import { nativeBinding } from '../binding';
import { type WatchedChild, forgetChild, watchChild } from '../internal/child-watches';
import { errno } from '../internal/errno';
import { isFailure } from '../internal/native-result';
import { abandonProgram, startProgram } from '../internal/start-program';
import { type SpawnProgram, type SpawnStdio, isPipe, spawnRequest, stdioKinds } from './child-process-request';
import { signalName } from './signals';

/** What Node's ChildProcess.prototype.spawn asks of its handle: lib/internal/child_process.js. */
interface ProcessHandle {
  pid?: number;
  onexit: ((exitCode: number, signalCode: string) => void) | undefined;
  /** Of Node 24 and later with each of the options, before with all in one. */
  spawn(): number;
  kill(signal: number): number;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
  close(callback?: () => void): void;
}

interface SpawnOptions extends SpawnProgram {
  stdio: SpawnStdio[];
}

interface WithHandle {
  _handle: ProcessHandle;
  spawn: (this: WithHandle, options: SpawnOptions) => number;
}

class ProgramHandle implements ProcessHandle, WatchedChild {
  pid?: number;
  onexit: ((exitCode: number, signalCode: string) => void) | undefined;
  readonly #native = nativeBinding();
  readonly #options: SpawnOptions;
  /** What AsyncLocalStorage has for whoever has started it is there for the listeners. */
  readonly #resource = new AsyncResource('ATFORKPROGRAM');
  #watch: number | null = null;
  #isRef = true;

  constructor(options: SpawnOptions) {
    this.#options = options;
  }

  spawn(): number {
    const { stdio } = this.#options;
    const started = startProgram(this.#native, spawnRequest(this.#options, stdioKinds(stdio)));
    if (isFailure(started)) {
      // Streams of a program that did not start end at once. Where descriptors are short, Node makes none.
      const hasStreams = started.errnum !== errno.EMFILE && started.errnum !== errno.ENFILE;
      for (const each of stdio) {
        if (hasStreams && isPipe(each)) each.handle.open(this.#native.lonelySocket());
      }
      return -started.errnum;
    }
    const [watch, pid, pidfd, ...fds] = started;
    try {
      for (const [i, each] of stdio.entries()) {
        if (isPipe(each)) each.handle.open(fds[i] ?? -1);
      }
      watchChild(watch, this, pidfd >= 0);
    } catch (error) {
      // The stack may be used up, so not here. Streams are Node's to close.
      queueMicrotask(() => {
        abandonProgram(this.#native, started, started.length);
      });
      throw error;
    }
    this.pid = pid;
    this.#watch = watch;
    return 0;
  }

  kill(signal: number): number {
    return this.#watch === null ? -errno.ESRCH : -this.#native.childWatches.signal(this.#watch, signal);
  }

  ref(): void {
    this.#keepAlive(true);
  }

  unref(): void {
    this.#keepAlive(false);
  }

  hasRef(): boolean {
    return this.#watch !== null && this.#isRef;
  }

  close(callback?: () => void): void {
    this.forget();
    if (callback !== undefined) setImmediate(callback);
  }

  #keepAlive(keeps: boolean): void {
    this.#isRef = keeps;
    if (this.#watch !== null) this.#native.childWatches.keepAlive(this.#watch, keeps);
  }

  look(): boolean {
    if (this.#watch === null) return true;
    const end = this.#native.childWatches.reap(this.#watch);
    if (end === null) return false;
    this.forget();
    // As libuv does: nobody hears of a child that somebody else has reaped.
    if (!isFailure(end)) {
      this.#resource.runInAsyncScope(() => {
        this.onexit?.(end.signaled ? 0 : end.code, end.signaled ? signalName(end.code) : '');
      });
    }
    return true;
  }

  forget(): void {
    if (this.#watch !== null) forgetChild(this.#native.childWatches, this.#watch);
    this.#watch = null;
  }
}

/** Calls a function of node:child_process; the ChildProcess that it makes meanwhile gets another handle. */
function withOurs<T>(call: () => T): T {
  const prototype = childProcess.ChildProcess.prototype as unknown as WithHandle;
  const nodes = prototype.spawn;
  prototype.spawn = function (this: WithHandle, options) {
    const before = this._handle;
    this._handle = new ProgramHandle(options);
    this._handle.onexit = before.onexit;
    before.close();
    return nodes.call(this, options);
  };
  try {
    return call();
  } finally {
    prototype.spawn = nodes;
  }
}

type Call = (...args: never[]) => unknown;

function ours<F extends Call>(nodes: F): F {
  const own = (...args: Parameters<F>): unknown => withOurs(() => nodes(...args));
  const promised = (nodes as { [promisify.custom]?: Call })[promisify.custom];
  if (promised !== undefined) {
    Object.defineProperty(own, promisify.custom, {
      configurable: true,
      value: (...args: never[]) => withOurs(() => promised(...args)),
    });
  }
  const { name, length } = nodes;
  return Object.defineProperties(own, { name: { value: name }, length: { value: length } }) as unknown as F;
}

export const spawn = ours(childProcess.spawn);
export const exec = ours(childProcess.exec);
export const execFile = ours(childProcess.execFile);
export const fork = ours(childProcess.fork);
export const ChildProcess = childProcess.ChildProcess;
export { execFileSync, execSync, spawnSync } from './child-process-sync';

/**
 * `atfork/child-process`: node:child_process, whose programs are started as forkExec() starts them, so that the event loop
 * does not stand still for as long as it takes to copy this process's memory map.
 *
 * Node's own ChildProcess does everything but the start, the signals and the wait: these are asked of its `_handle`, which is
 * another one here. So options, errors, streams and IPC are Node's.
 */
import * as childProcess from 'node:child_process';
import { promisify } from 'node:util';

import { nativeBinding } from '../binding';
import { forgetChild, listenToChild } from '../internal/child-watches';
import { errno } from '../internal/errno';
import { type NativeExecRequest, execFlags, nullTerminated, startProgram, stdioKind } from '../internal/native-exec';
import { isFailure } from '../internal/native-result';
import { ownOnly } from '../internal/validate';
import { parentsWaits } from '../internal/parents-waits';
import { environmentOf } from './environment';
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

/** A handle of Node's, of a stream: src/stream_base.cc, src/pipe_wrap.cc. */
interface StreamHandle {
  readonly fd: number;
  open(fd: number): number;
}

type SpawnStdio =
  | { type: 'ignore' }
  | { type: 'pipe' | 'overlapped'; handle: StreamHandle }
  | { type: 'wrap'; handle: StreamHandle }
  | { type: 'inherit' | 'fd'; fd: number };

/** As lib/child_process.js leaves them, and ChildProcess.prototype.spawn: `stdio` is what each descriptor is by then. */
interface SpawnOptions {
  file: string;
  args?: string[];
  cwd?: string | null;
  envPairs?: string[];
  stdio: SpawnStdio[];
  detached?: boolean;
  uid?: number | null;
  gid?: number | null;
}

interface WithHandle {
  _handle: ProcessHandle;
  spawn: (this: WithHandle, options: SpawnOptions) => number;
}

class ProgramHandle implements ProcessHandle {
  pid?: number;
  onexit: ((exitCode: number, signalCode: string) => void) | undefined;
  readonly #native = nativeBinding();
  readonly #options: SpawnOptions;
  #watch: number | null = null;
  #isRef = true;
  readonly #forget = (): void => {
    this.#leave();
  };

  constructor(options: SpawnOptions) {
    this.#options = options;
  }

  spawn(): number {
    const { stdio } = this.#options;
    const started = startProgram(this.#native, toNative(this.#options));
    if (isFailure(started)) {
      // Streams of a program that did not start end at once.
      for (const each of stdio) {
        if (isPipe(each)) each.handle.open(this.#native.lonelySocket());
      }
      return -started.errnum;
    }
    const [watch, pid, pidfd, ...fds] = started;
    for (const [i, each] of stdio.entries()) {
      if (isPipe(each)) each.handle.open(fds[i] ?? -1);
    }
    listenToChild(this.#native.childWatches, watch, () => {
      this.#look();
    });
    this.pid = pid;
    this.#watch = watch;
    // Its SIGCHLD may have come before.
    if (pidfd < 0) setImmediate(this.#look.bind(this));
    parentsWaits.add(this.#forget);
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
    this.#leave();
    if (callback !== undefined) setImmediate(callback);
  }

  #keepAlive(keeps: boolean): void {
    this.#isRef = keeps;
    if (this.#watch !== null) this.#native.childWatches.keepAlive(this.#watch, keeps);
  }

  #look(): void {
    const watch = this.#watch;
    if (watch === null) return;
    const end = this.#native.childWatches.reap(watch);
    if (end === null) return;
    this.#leave();
    // As libuv does: nobody hears of a child that somebody else has reaped.
    if (isFailure(end)) return;
    this.onexit?.(end.signaled ? 0 : end.code, end.signaled ? signalName(end.code) : '');
  }

  #leave(): void {
    if (this.#watch !== null) forgetChild(this.#native.childWatches, this.#watch);
    this.#watch = null;
    parentsWaits.delete(this.#forget);
  }
}

function isPipe(stdio: SpawnStdio): stdio is Extract<SpawnStdio, { type: 'pipe' | 'overlapped' }> {
  return stdio.type === 'pipe' || stdio.type === 'overlapped';
}

function toNative({ file, args, cwd, envPairs, stdio, detached, uid, gid }: SpawnOptions): NativeExecRequest {
  const folder = cwd === '' ? undefined : (cwd ?? undefined);
  const hasRest = folder !== undefined || typeof uid === 'number' || typeof gid === 'number';
  return {
    file,
    args: nullTerminated(args === undefined || args.length === 0 ? [file] : args.map(String)),
    env: envPairs === undefined ? environmentOf(process.env, 'options.env') : nullTerminated(envPairs),
    stdio: Int32Array.from(stdio.flatMap(toKind)),
    passFds: null,
    flags: execFlags.restoreSignals | (detached === true ? execFlags.setsid : 0),
    rest: hasRest ? ownOnly({ cwd: folder, uid: uid ?? undefined, gid: gid ?? undefined }) : undefined,
  };
}

function toKind(stdio: SpawnStdio, index: number): [kind: number, fd: number] {
  switch (stdio.type) {
    case 'ignore':
      return [index < 3 ? stdioKind.null : stdioKind.untouched, -1];
    case 'pipe':
    case 'overlapped':
      return [stdioKind.socket, -1];
    case 'wrap':
      return [stdioKind.inherit, stdio.handle.fd];
    case 'inherit':
    case 'fd':
      return [stdioKind.inherit, stdio.fd];
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
  return Object.defineProperty(own, 'name', { value: nodes.name }) as unknown as F;
}

export const spawn = ours(childProcess.spawn);
export const exec = ours(childProcess.exec);
export const execFile = ours(childProcess.execFile);
export const fork = ours(childProcess.fork);
/** Node's own: forkExecSync() is what is like them here. */
export const { ChildProcess, spawnSync, execSync, execFileSync } = childProcess;

/** A child process: one that forkExec() started, or that fork() made. */
import { AsyncResource } from 'node:async_hooks';
import * as diagnosticsChannel from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import type { Duplex } from 'node:stream';

import { nativeBinding } from '../binding';
import { AtforkError, WaitError, errnoName, fromNative } from '../errors';
import {
  type WatchedChild,
  forgetChild,
  listenToChildren,
  watchChild,
  watchedChildren,
} from '../internal/child-watches';
import { errno } from '../internal/errno';
import type { NativeChildEnd, NativeChildWatches } from '../internal/native-exec';
import { isFailure } from '../internal/native-result';
import { ownOnly, validateAbortSignal, validateInteger, validateObject, validateTimeout } from '../internal/validate';
import { type ChildResourceUsage, usageOf } from './child-usage';
import { type Lifetime, unlimited } from './exec-options';
import { type LeftAtExit, unwatchAtExit, validateLeftAtExit, watchAtExit } from './left-at-exit';
import { signalNumber } from './signals';
import { type WaitStatus, waitStatusOf } from './waitpid';

export interface WaitOptions {
  /** Milliseconds; 0 only looks. Default Infinity. */
  timeout?: number;
  /** Gives up the wait; the child goes on. */
  signal?: AbortSignal;
}

export interface ChildHandleEvents {
  exit: [exitCode: number | null, signalCode: string | null];
  close: [exitCode: number | null, signalCode: string | null];
  error: [error: Error];
}

/** What is published on the channel `atfork.child`. */
export interface ChildMessage {
  readonly type: 'start' | 'end';
  readonly child: ChildHandle;
}

/** @internal */
export interface StartedProgram {
  readonly watch: number;
  readonly pid: number;
  readonly pidfd: number;
  readonly file: string | null;
  readonly stdio: readonly (Duplex | null)[];
  readonly lifetime: Lifetime;
  readonly leftAtExit: LeftAtExit;
}

/** Of setTimeout(); longer is for ever. */
const longestTimer = 2 ** 31 - 1;

const channel = diagnosticsChannel.channel('atfork.child');

/** The children that live and that this thread has a handle of. */
export function children(): ChildHandle[] {
  return [...watchedChildren()].filter((child) => child instanceof ChildHandle);
}

/**
 * A child process. Its end is learned from its pidfd in the event loop, which it keeps alive until then; nobody else's
 * children are touched.
 *
 * In a child of fork() the handles of the parent are of no use: its children are not that process's.
 */
export class ChildHandle extends EventEmitter implements WatchedChild {
  readonly pid: number;
  /** What was started; null for a child of fork(). */
  readonly spawnfile: string | null;
  /** The ends of pipes that this process has, by number. */
  readonly stdio: readonly (Duplex | null)[];
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  /** Null until it has ended, and if a signal ended it. */
  exitCode: number | null = null;
  /** Null until it has ended, and unless a signal ended it. */
  signalCode: string | null = null;
  /** Null until it has ended. */
  resourceUsage: ChildResourceUsage | null = null;
  /** Whether it took longer than `timeout`, and was sent `killSignal`. */
  timedOut = false;

  /** What AsyncLocalStorage has for whoever has started it is there for the listeners. */
  readonly #resource = new AsyncResource('ATFORKCHILD');
  readonly #watches: NativeChildWatches;
  readonly #lifetime: Lifetime;
  #watch: number | null;
  #pidfd: number;
  #status: WaitStatus | null = null;
  #failure: Error | null = null;
  readonly #timers: NodeJS.Timeout[] = [];
  /** Mostly there are none when it is started, which must be quick. */
  #waits: Set<() => void> | undefined;
  /** Its streams that have not emitted 'close', and itself until it has emitted 'exit'. */
  #open = 1;
  #unlisten: (() => void) | undefined;

  /** @internal */
  constructor({ watch, pid, pidfd, file, stdio, lifetime, leftAtExit }: StartedProgram) {
    super();
    this.pid = pid;
    this.spawnfile = file;
    this.stdio = stdio;
    this.stdin = stdio[0] ?? null;
    this.stdout = stdio[1] ?? null;
    this.stderr = stdio[2] ?? null;
    stdio.forEach((stream) => {
      this.#count(stream);
    });
    this.#lifetime = lifetime;
    this.#pidfd = pidfd;
    this.#watches = nativeBinding().childWatches;
    this.#watch = watch;
    watchChild(watch, this, pidfd >= 0);
    this.#limit(lifetime);
    watchAtExit(this, leftAtExit);
    this.#publish('start');
  }

  /**
   * The handle of a child of fork(), whose end it then waits for: nobody else must.
   *
   * @throws WaitError ECHILD: no child of this process, or somebody has reaped it.
   */
  static fromPid(pid: number, options: { leftAtExit?: LeftAtExit } = {}): ChildHandle {
    validateInteger(pid, 'pid', 1, 2 ** 31 - 1);
    validateObject(options, 'options');
    const { leftAtExit = 'ignore' } = ownOnly(options);
    validateLeftAtExit(leftAtExit, 'options.leftAtExit');
    const native = nativeBinding();
    if (!native.isChild(pid)) throw noChild(pid, 'it is none of this process’s, or somebody has reaped it');
    listenToChildren(native.childWatches);
    const pidfd = native.openPidfd(pid);
    const watch = native.childWatches.begin(pid, pidfd);
    if (isFailure(watch)) throw fromNative(AtforkError, watch);
    return new ChildHandle({ watch, pid, pidfd, file: null, stdio: [], lifetime: unlimited, leftAtExit });
  }

  /** Becomes readable at its end: pidfd_open(2). Null once it has ended, and where the kernel has none. */
  get pidfd(): number | null {
    return this.#watch === null || this.#pidfd < 0 ? null : this.#pidfd;
  }

  /** Whether it has ended. */
  get hasEnded(): boolean {
    return this.#status !== null;
  }

  /**
   * Waits for its end; it has been reaped then.
   *
   * @returns how it ended, or null when it still runs after `timeout`.
   * @throws WaitError ECHILD: somebody else reaped it, so nobody knows. What `signal` was aborted with.
   */
  async wait(options: WaitOptions = {}): Promise<WaitStatus | null> {
    validateObject(options, 'options');
    const { timeout = Infinity, signal } = ownOnly(options);
    validateTimeout(timeout, 'options.timeout');
    if (signal !== undefined) validateAbortSignal(signal, 'options.signal');
    signal?.throwIfAborted();
    if (this.#watch !== null && timeout === 0) this.look();
    if (this.#watch !== null && timeout > 0) await this.#untilEnd(timeout, signal);
    if (this.#failure !== null) throw this.#failure;
    return this.#status;
  }

  /**
   * Sends a signal, by name or number; 0 only asks. Default 'SIGTERM'.
   *
   * @returns whether there was a process to send it to: never another one that has its pid by now.
   * @throws AtforkError EPERM, when it runs as another user by now.
   */
  kill(signal: string | number = 'SIGTERM'): boolean {
    const number = signalNumber(signal, 'signal', true);
    if (this.#watch === null) return false;
    const failed = this.#watches.signal(this.#watch, number);
    if (failed === 0) return true;
    if (failed === errno.ESRCH) return false;
    const code = errnoName(failed);
    throw new AtforkError(`${code}: kill`, { code, errno: -failed, syscall: 'kill' });
  }

  /** Keeps the event loop alive until its end, as it does by default. */
  ref(): this {
    if (this.#watch !== null) this.#watches.keepAlive(this.#watch, true);
    return this;
  }

  unref(): this {
    if (this.#watch !== null) this.#watches.keepAlive(this.#watch, false);
    return this;
  }

  /** Ends it: `killSignal`, after `forceKillAfterDelay` SIGKILL; and waits until it has been reaped. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#watch === null) return;
    this.#end();
    await this.wait();
  }

  override on<E extends keyof ChildHandleEvents>(event: E, listener: (...args: ChildHandleEvents[E]) => void): this;
  override on(event: string | symbol, listener: (...args: never[]) => void): this;
  override on(event: string | symbol, listener: (...args: never[]) => void): this {
    return super.on(event, listener as (...args: unknown[]) => void);
  }

  /** @internal Whether it has ended by now. */
  look(): boolean {
    if (this.#watch === null) return true;
    const end = this.#watches.reap(this.#watch);
    if (end === null) return false;
    this.#resource.runInAsyncScope(() => {
      if (isFailure(end)) this.#fail(fromNative(WaitError, end), false);
      else this.#finish(end);
    });
    return true;
  }

  /** @internal */
  forget(): void {
    this.#fail(noChild(this.pid, 'it is a child of this process’s parent'), true);
  }

  /** @internal When this process exits: nobody waits for its end. */
  endAtExit(): void {
    this.kill(this.#lifetime.killSignal);
  }

  #limit({ signal, timeout }: Lifetime): void {
    if (timeout === 0 && signal === undefined) return;
    // Timers are called before the event loop tells of an end that has come in time.
    const end = (isLate: boolean) => (): void => {
      if (this.look()) return;
      this.timedOut ||= isLate;
      this.#attempt(() => {
        this.#end();
      });
    };
    if (timeout > 0 && timeout <= longestTimer) this.#timers.push(setTimeout(end(true), timeout));
    if (signal === undefined) return;
    const abort = end(false);
    signal.addEventListener('abort', abort, { once: true });
    this.#unlisten = (): void => {
      signal.removeEventListener('abort', abort);
    };
  }

  #end(): void {
    const { killSignal, forceKillAfterDelay: grace } = this.#lifetime;
    this.kill(killSignal);
    if (grace === false || grace > longestTimer) return;
    const kill = (): void => {
      if (this.look()) return;
      this.#attempt(() => {
        this.kill('SIGKILL');
      });
    };
    this.#timers.push(setTimeout(kill, grace));
  }

  /** Where nobody calls who could be thrown at. */
  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.emit('error', error);
    }
  }

  #untilEnd(timeout: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waits?.delete(finish);
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
      };
      const finish = (): void => {
        leave();
        resolve();
      };
      const abort = (): void => {
        leave();
        reject(signal?.reason as Error);
      };
      // It may have ended in time: see #limit.
      const late = (): void => {
        if (!this.look()) finish();
      };
      const timer = timeout > longestTimer ? undefined : setTimeout(late, timeout);
      signal?.addEventListener('abort', abort, { once: true });
      (this.#waits ??= new Set()).add(finish);
    });
  }

  #finish(end: NativeChildEnd): void {
    this.#status = waitStatusOf(end);
    this.exitCode = this.#status.exitCode;
    this.signalCode = this.#status.signalCode;
    this.resourceUsage = usageOf(end);
    this.#leave();
    this.stdin?.destroy();
    this.#wake();
    this.#closeSoon();
    this.emit('exit', this.exitCode, this.signalCode);
  }

  /** Nothing more comes of it but what is in its pipes. */
  #closeSoon(): void {
    this.#publish('end');
    process.nextTick(() => {
      --this.#open;
      this.#drain();
    });
  }

  #wake(): void {
    for (const finish of this.#waits ?? []) finish();
  }

  #publish(type: ChildMessage['type']): void {
    if (channel.hasSubscribers) channel.publish({ type, child: this } satisfies ChildMessage);
  }

  #count(stream: Duplex | null): void {
    if (stream === null) return;
    ++this.#open;
    stream.once('close', () => {
      --this.#open;
      this.#closeIfDone();
    });
  }

  /** As child_process: what nobody reads is read to its end, or there would be no 'close'. */
  #drain(): void {
    for (const stream of this.stdio) {
      if (stream?.readableFlowing === null) stream.resume();
    }
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#open === 0) this.emit('close', this.exitCode, this.signalCode);
  }

  #fail(failure: Error, isSilent: boolean): void {
    this.#failure = failure;
    this.#leave();
    const isHeard = this.#waits !== undefined && this.#waits.size > 0;
    if (isSilent) return;
    this.stdin?.destroy();
    this.#wake();
    this.#closeSoon();
    if (!isHeard || this.listenerCount('error') > 0) this.emit('error', failure);
  }

  #leave(): void {
    if (this.#watch !== null) forgetChild(this.#watches, this.#watch);
    this.#watch = null;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#unlisten?.();
    unwatchAtExit(this);
  }
}

function noChild(pid: number, why: string): WaitError {
  return new WaitError(`ECHILD: no child processes: ${String(pid)}: ${why}`, { code: 'ECHILD', errno: -errno.ECHILD });
}

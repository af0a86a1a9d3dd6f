/** forkExec(): starts a program. */
import * as net from 'node:net';
import type { Duplex } from 'node:stream';

import { nativeBinding } from '../binding';
import { ExecError, type NativeErrorInfo, fromNative } from '../errors';
import { stopReading } from '../internal/lent-streams';
import { stdioKind } from '../internal/native-exec';
import { isFailure } from '../internal/native-result';
import { abandonProgram, startProgram } from '../internal/start-program';
import { ChildHandle } from './child-handle';
import { type ForkExecOptions, execRequest } from './exec-options';

/**
 * Starts a program: fork(2) and execve(2), as fast in a big process as in a small one, and safe with threads, so it never
 * warns. The calling thread stands still until the program runs; memory is borrowed for that moment, not copied.
 *
 * @param file a path, or a name that is looked up in PATH of `options.env`. A file without `#!` is run by /bin/sh.
 * @param args without argv[0]: see `options.argv0`.
 * @throws ExecError when it did not start: `stage` says at which step, `path` for which file. Nothing is left of it.
 * @throws TypeError, RangeError for bad arguments. What `options.signal` was aborted with.
 */
export function forkExec(file: string, args: readonly string[] = [], options: ForkExecOptions = {}): ChildHandle {
  const { native, stdio: given, lifetime, leftAtExit } = execRequest(file, args, options);
  lifetime.signal?.throwIfAborted();
  const started = startProgram(nativeBinding(), native);
  if (isFailure(started)) throw execError(started);
  stopReading(given);
  let wrapped = firstFd;
  const stdio: (Duplex | null)[] = [];
  try {
    // Not by `...`, whose iterator takes longer than all else here.
    for (; wrapped < started.length; ++wrapped) {
      const fd = started[wrapped] ?? -1;
      stdio.push(fd < 0 ? null : streamOf(fd, native.stdio[2 * (wrapped - firstFd)]));
    }
    const { 0: watch, 1: pid, 2: pidfd } = started;
    return new ChildHandle({ watch, pid, pidfd, file, stdio, lifetime, leftAtExit });
  } catch (error) {
    // The stack may be used up, so not here. Whether the one in the making has its descriptor, nobody knows: closed twice, it would be
    // somebody else's.
    queueMicrotask(() => {
      abandonProgram(nativeBinding(), started, wrapped + 1);
      for (const stream of stdio) stream?.destroy();
    });
    throw error;
  }
}

/** Of what the native layer has started. */
const firstFd = 3;

/** @returns the ExecError of a failed start */
export function execError(info: NativeErrorInfo): ExecError {
  const error = fromNative(ExecError, info);
  const isOfPath = ['exec', 'cwd', 'chroot'].includes(info.stage);
  return isOfPath ? Object.assign(error, { path: info.detail }) : error;
}

function streamOf(fd: number, kind: number | undefined): Duplex {
  const readable = kind !== stdioKind.input;
  const writable = kind !== stdioKind.output;
  return new net.Socket({ fd, readable, writable });
}

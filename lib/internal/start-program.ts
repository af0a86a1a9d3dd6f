/** How every program is started: forkExec(), what waits for its end, and node:child_process's functions. */
import { closeSync } from 'node:fs';

import { listenToChildren } from './child-watches';
import type {
  NativeExec,
  NativeExecRequest,
  NativeProgramLimits,
  NativeProgramOutput,
  NativeStartedProgram,
} from './native-exec';
import type { NativeResult } from './native-result';
import { requireChildPermission } from './permission';
import { reserveStack } from './stack';

const sigkill = 9;

export function startProgram(
  native: NativeExec,
  { file, args, env, stdio, passFds, flags, rest }: NativeExecRequest,
): NativeResult<NativeStartedProgram> {
  requireChildPermission(file);
  listenToChildren(native.childWatches);
  const start = (): ReturnType<NativeExec['startProgram']> =>
    native.startProgram(file, args, env, stdio, passFds, flags, rest);
  let started = start();
  if (started === null) {
    // Or it would run, and nobody be told of it.
    reserveStack(64);
    native.noteStack();
    started = start();
  }
  if (started === null) throw new RangeError('the stack has grown meanwhile');
  return started;
}

export function runProgram(
  native: NativeExec,
  { file, args, env, stdio, passFds, flags, rest }: NativeExecRequest,
  limits: NativeProgramLimits,
): NativeResult<NativeProgramOutput> {
  requireChildPermission(file);
  const request = [file, args, env, stdio, passFds, flags, rest] as const;
  const { input, timeout, killSignal, grace, maxBuffer, maxBufferOfAll } = limits;
  return native.runProgram(...request, undefined, input, timeout, killSignal, grace, maxBuffer, maxBufferOfAll);
}

/** A program that nobody can be told of, since what was to be done for it has failed: `from` is the first descriptor that nobody has. */
export function abandonProgram(native: NativeExec, started: NativeStartedProgram, from: number): void {
  // Its end is reaped by the event loop.
  native.childWatches.signal(started[0], sigkill);
  for (let i = from; i < started.length; ++i) {
    const fd = started[i] ?? -1;
    if (fd >= 0) closeSync(fd);
  }
}

/** What a program is started with in place of node:child_process. */
import { type NativeExecRequest, execFlags, nullTerminated, stdioKind } from '../internal/native-exec';
import { ownOnly } from '../internal/validate';
import { environmentOf } from './environment';

/** A handle of Node's, of a stream: src/stream_base.cc, src/pipe_wrap.cc. */
export interface StreamHandle {
  readonly fd: number;
  open(fd: number): number;
}

export type SpawnStdio =
  | { type: 'ignore' }
  | { type: 'pipe' | 'overlapped'; handle: StreamHandle }
  | { type: 'wrap'; handle: StreamHandle }
  | { type: 'inherit' | 'fd'; fd: number };

/** As lib/child_process.js leaves them. */
export interface SpawnProgram {
  file: string;
  args?: string[];
  cwd?: string | null;
  envPairs?: string[];
  detached?: boolean;
  uid?: number | null;
  gid?: number | null;
}

export function isPipe(stdio: SpawnStdio): stdio is Extract<SpawnStdio, { type: 'pipe' | 'overlapped' }> {
  return stdio.type === 'pipe' || stdio.type === 'overlapped';
}

/** `stdio`: of NativeExecRequest. As libuv has it, descriptors that are open without O_CLOEXEC stay so. */
export function spawnRequest(
  { file, args, cwd, envPairs, detached, uid, gid }: SpawnProgram,
  stdio: Int32Array,
): NativeExecRequest {
  const folder = cwd === '' ? undefined : (cwd ?? undefined);
  const hasRest = folder !== undefined || typeof uid === 'number' || typeof gid === 'number';
  return {
    file,
    args: nullTerminated(args === undefined || args.length === 0 ? [file] : args.map(String)),
    env: envPairs === undefined ? environmentOf(process.env, 'options.env') : nullTerminated(envPairs),
    stdio,
    passFds: null,
    flags: execFlags.restoreSignals | execFlags.mayKeepGroups | (detached === true ? execFlags.setsid : 0),
    rest: hasRest ? ownOnly({ cwd: folder, uid: uid ?? undefined, gid: gid ?? undefined }) : undefined,
  };
}

/** What each descriptor is by ChildProcess.prototype.spawn. */
export function stdioKinds(stdio: readonly SpawnStdio[]): Int32Array {
  return Int32Array.from(stdio.flatMap(toKind));
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

/** What native/binding/exec_binding.cc and child_watches.cc offer to JavaScript: programs started, and their ends. */
import { ExecError, errnoName } from '../errors';
import { errno } from './errno';
import type { NativeResult } from './native-result';
import type { NativeWaitStatus } from './native-process';

/** Of one descriptor of the program: native/posix/exec_plan.h. */
export const stdioKind = { null: 0, input: 1, output: 2, socket: 3, inherit: 4, untouched: 5 } as const;

/** Bits of `NativeExecRequest.flags`. */
export const execFlags = { closeFds: 1, restoreSignals: 2, setsid: 4, noNewPrivs: 8, mayKeepGroups: 16 } as const;

/** Texts of which each ends with a null byte. */
export type NullTerminated = string;

export interface NativeExecRequest {
  /** Looked up in PATH of `env` unless it has a slash. */
  file: string;
  /** argv[0] included. */
  args: NullTerminated;
  /** `NAME=value`; null: this process's own, which no other thread may change meanwhile. */
  env: NullTerminated | null;
  /** Two for each descriptor: its `stdioKind`, and for `inherit` which. */
  stdio: Int32Array;
  /** Ascending. */
  passFds: Int32Array | null;
  flags: number;
  rest: NativeExecRest | undefined;
}

/** What few programs need. What is absent is as it is by default. */
export interface NativeExecRest {
  /** Numbers. */
  sigmask?: readonly number[] | undefined;
  processGroup?: number | undefined;
  controllingTerminal?: number | undefined;
  foreground?: number | undefined;
  umask?: number | undefined;
  /** Three for each limit: its number, soft, hard; -1: none. */
  rlimits?: readonly number[] | undefined;
  nice?: number | undefined;
  /** The bytes of a mask. */
  affinity?: readonly number[] | undefined;
  chroot?: string | undefined;
  cwd?: string | undefined;
  extraGroups?: readonly number[] | undefined;
  gid?: number | undefined;
  uid?: number | undefined;
  parentDeathSignal?: number | undefined;
}

/** What the system is taken to have; for tests. */
export interface NativeExecMeans {
  vfork?: boolean;
  pidfd?: boolean;
  closeRange?: boolean;
  proc?: boolean;
}

/** Its watch, as from `begin`; -1 for the pidfd: the kernel has none; of each descriptor the end that is ours, or -1. */
export type NativeStartedProgram = [watch: number, pid: number, pidfd: number, ...stdio: number[]];

export interface NativeChildEnd extends NativeWaitStatus {
  /** Microseconds of user and of system time, kilobytes, and the six counts of process.resourceUsage() that Linux has. */
  usage: [number, number, number, number, number, number, number, number, number];
}

export interface NativeChildWatches {
  /** What is called when a child may have ended, as often as that may be so. */
  onEnd(onEnd: (id: number) => void): void;
  /** `pidfd` is closed with it. */
  begin(pid: number, pidfd: number): NativeResult<number>;
  /** Null: it has not ended. */
  reap(id: number): NativeResult<NativeChildEnd | null>;
  /** 0 or an errno. */
  signal(id: number, signal: number): number;
  /** Whether it keeps the event loop alive; it does at first. */
  keepAlive(id: number, keeps: boolean): void;
  /** Whether `onEnd` is called. */
  listen(id: number, listens: boolean): void;
  /** There is no such id any more. */
  end(id: number): void;
}

export interface NativeProgramOutput extends NativeChildEnd {
  pid: number;
  /** Of each descriptor what was read from it, or null. */
  output: (Buffer | null)[];
  timedOut: boolean;
  /** The descriptor to which more than `maxBuffer` was written, or -1. */
  overflowed: number;
}

/** Of a program that is waited for. */
export interface NativeProgramLimits {
  readonly input: string | Uint8Array;
  /** Milliseconds; 0: none. */
  readonly timeout: number;
  readonly killSignal: number;
  /** Milliseconds from there to SIGKILL; negative: never. */
  readonly grace: number;
  /** Bytes of each descriptor, */
  readonly maxBuffer: number;
  /** or of all together. */
  readonly maxBufferOfAll: boolean;
}

/** The members of a NativeExecRequest, in their order: to read them off an object would take N-API ten times as long. */
export type NativeExecArguments = [
  file: string,
  args: NullTerminated,
  env: NullTerminated | null,
  stdio: Int32Array,
  passFds: Int32Array | null,
  flags: number,
  rest: NativeExecRest | undefined,
];

export interface NativeExec {
  /** Null: nothing was done, since the stack may be too deep for what comes after. */
  startProgram(
    ...request: [...NativeExecArguments, means?: NativeExecMeans]
  ): NativeResult<NativeStartedProgram> | null;
  /** From here on `startProgram` is not null where the stack is not deeper than here. */
  noteStack(): void;
  /** With the members of NativeProgramLimits. The thread stands still until the program has ended. */
  runProgram(
    ...request: [
      ...NativeExecArguments,
      means: NativeExecMeans | undefined,
      input: string | Uint8Array,
      timeout: number,
      killSignal: number,
      grace: number,
      maxBuffer: number,
      maxBufferOfAll: boolean,
    ]
  ): NativeResult<NativeProgramOutput>;
  /** Whether a name is twice in this process's environment. */
  hasDuplicatesInEnvironment(): boolean;
  /** -1: the kernel has none. */
  openPidfd(pid: number): number;
  /** A socket whose peer is gone, or -1. */
  lonelySocket(): number;
  /** Whether it is a child of this process, running or not, that nobody has reaped. */
  isChild(pid: number): boolean;
  /** User and group ids of names; -1: there is none. */
  userId(name: string): number;
  groupId(name: string): number;
  readonly childWatches: NativeChildWatches;
}

/** @throws ExecError E2BIG: V8 has no string of that length, nor the kernel room for such a list */
export function nullTerminated(texts: readonly string[]): NullTerminated {
  try {
    return texts.length === 0 ? '' : `${texts.join('\0')}\0`;
  } catch (cause) {
    const code = errnoName(errno.E2BIG);
    throw new ExecError(`${code}: argument list too long, execve`, {
      ...{ code, errno: -errno.E2BIG, syscall: 'execve', stage: 'exec' },
      cause,
    });
  }
}

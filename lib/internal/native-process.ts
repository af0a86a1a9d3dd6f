/**
 * What native/binding/process_binding.cc offers to JavaScript: waiting, leaving and replacing a process, and the census
 * of its threads. Types only.
 */
import type { NativeErrorInfo } from '../errors';
import type { NativeResult } from './native-result';

export interface NativeWaitStatus {
  /** Exit code, or the signal's number when `signaled`. */
  code: number;
  signaled: boolean;
  coreDumped: boolean;
}

/** ThreadInfo of lib/census/threads.ts, which knows what strings there are. */
export interface NativeThread {
  tid: number;
  name: string;
  kind: string;
  module: string | null;
  afterFork: string;
}

export interface NativeProcess {
  /** `timeout` in milliseconds: 0 only looks, Infinity waits for as long as it takes. */
  waitpid(pid: number, timeout: number): NativeResult<NativeWaitStatus | null>;
  exit(code: number): never;
  /** `env` holds `NAME=value`. Returns only on failure. */
  execve(file: string, args: readonly string[], env: readonly string[]): NativeErrorInfo;
  threads(): NativeResult<NativeThread[]>;
  /** libc's first real-time signal. */
  readonly sigRtMin: number;
}

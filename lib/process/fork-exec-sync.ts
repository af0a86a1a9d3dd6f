/** forkExecSync(): runs a program to its end. */
import { nativeBinding } from '../binding';
import { WaitError, fromNative } from '../errors';
import { stdioKind } from '../internal/native-exec';
import { isFailure } from '../internal/native-result';
import { invalidValue } from '../internal/validate';
import { runProgram } from '../internal/start-program';
import { usageOf } from './child-usage';
import { type ForkExecOptions, execRequest } from './exec-options';
import { execError } from './fork-exec';
import { type OutputOptions, type ProgramOutput, outputOptions, overflow } from './program-output';
import { waitStatusOf } from './waitpid';

export interface ForkExecSyncOptions extends Omit<ForkExecOptions, 'signal' | 'leftAtExit'>, OutputOptions {}

/** Null: not a pipe. */
export interface SyncProgramOutput<T> extends ProgramOutput<T | null> {
  /** Of each descriptor; that of stdin is null. */
  readonly stdio: readonly (T | null)[];
}

/**
 * Starts a program as forkExec() does, and waits until it has ended and everybody has closed what it wrote to. The thread stands
 * still, and with it its event loop. fork() is refused meanwhile (ERR_ATFORK_PREVENTED), which only a Worker notices.
 *
 * @throws ExecError when it did not start. OutputError ENOBUFS: it wrote more than `maxBuffer`.
 * @throws WaitError ECHILD: somebody else reaped it, so nobody knows how it ended.
 * @throws TypeError, RangeError for bad arguments.
 */
export function forkExecSync(
  file: string,
  args?: readonly string[],
  options?: ForkExecSyncOptions & { encoding?: 'buffer' },
): SyncProgramOutput<Buffer>;
export function forkExecSync(
  file: string,
  args: readonly string[],
  options: ForkExecSyncOptions & { encoding: BufferEncoding },
): SyncProgramOutput<string>;
export function forkExecSync(
  file: string,
  args: readonly string[] = [],
  options: ForkExecSyncOptions = {},
): SyncProgramOutput<string | Buffer> {
  const { input, maxBuffer, decode, rest } = outputOptions(options);
  if (rest.signal !== undefined) {
    throw invalidValue('options.signal', 'cannot be used: nobody could abort it', rest.signal);
  }
  const { native, lifetime } = execRequest(file, args, rest);
  if (input.length > 0 && native.stdio[0] !== stdioKind.input) {
    throw invalidValue('options.input', 'needs a pipe: `stdio` must not say otherwise', rest.stdio);
  }
  const { timeout, killSignal, forceKillAfterDelay } = lifetime;
  const grace = forceKillAfterDelay === false ? -1 : forceKillAfterDelay;
  const limits = { input, timeout, killSignal, grace, maxBuffer, maxBufferOfAll: false };
  const ended = runProgram(nativeBinding(), native, limits);
  if (isFailure(ended)) throw ended.stage === 'wait' ? fromNative(WaitError, ended) : execError(ended);
  const stdio = ended.output.map((bytes) => (bytes === null ? null : decode(bytes.subarray(0, maxBuffer))));
  const output = {
    pid: ended.pid,
    stdout: stdio[1] ?? null,
    stderr: stdio[2] ?? null,
    stdio,
    status: waitStatusOf(ended),
    resourceUsage: usageOf(ended),
    timedOut: ended.timedOut,
  };
  if (ended.overflowed >= 0) throw overflow(ended.overflowed, maxBuffer, output);
  return output;
}

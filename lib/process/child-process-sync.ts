/**
 * The synchronous functions of node:child_process, by the same start as the others of `atfork/child-process`. Node's own take no
 * other handle; so Node checks the arguments, by way of its spawn(), and the rest is done here.
 */
import * as childProcess from 'node:child_process';

import { nativeBinding } from '../binding';
import { errnoName } from '../errors';
import { errno } from '../internal/errno';
import { type NativeProgramOutput, stdioKind } from '../internal/native-exec';
import { isFailure } from '../internal/native-result';
import { invalidType, invalidValue, validateCString } from '../internal/validate';
import { runProgram } from '../internal/start-program';
import { type SpawnProgram, spawnRequest } from './child-process-request';
import { stdioOf } from './exec-stdio';
import { signalName, signalNumber } from './signals';

type SyncOptions = childProcess.SpawnSyncOptions;
type Output = string | Buffer | null;
type SyncResult = Omit<childProcess.SpawnSyncReturns<Output>, 'output'> & { output: Output[] | null };

/** What Node's ChildProcess.prototype.spawn is called with: the program's options as Node has them, and the caller's. */
type Normalized = SpawnProgram & Omit<SyncOptions, keyof SpawnProgram> & { args: string[] };

/** As Node's. */
const defaultMaxBuffer = 2 ** 20;

const stopped = new Error('nothing is started');

/** What Node makes of the arguments of one of its functions: they come to a ChildProcess, which starts nothing. */
function normalized(call: () => unknown): Normalized {
  const prototype = childProcess.ChildProcess.prototype as unknown as {
    spawn: (this: { _handle: { close(): void } }, options: Normalized) => number;
  };
  const nodes = prototype.spawn;
  let seen: Normalized | undefined;
  prototype.spawn = function (options) {
    seen = options;
    this._handle.close();
    throw stopped;
  };
  try {
    call();
  } catch (error) {
    if (error !== stopped) throw error;
  } finally {
    prototype.spawn = nodes;
  }
  if (seen === undefined) throw stopped;
  return seen;
}

/** As node:child_process has it, but for `input` of further descriptors. */
export function spawnSync(file: string, args?: unknown, options?: unknown): SyncResult {
  const given = normalized(() => childProcess.spawn(file, args as string[], options as childProcess.SpawnOptions));
  // Null is as good as absent there.
  const maxBuffer = (given.maxBuffer as number | null | undefined) ?? defaultMaxBuffer;
  normalized(() => childProcess.execFile('checked', [], { maxBuffer }));
  const stdio = stdioKinds(given.stdio);
  if (given.cwd === '') return notStarted(errno.ENOENT, given);
  const ended = runProgram(nativeBinding(), spawnRequest(given, stdio), {
    input: inputOf(given.input, given.encoding),
    timeout: (given.timeout as number | null | undefined) ?? 0,
    killSignal: signalNumber(given.killSignal ?? 'SIGTERM', 'options.killSignal'),
    grace: -1,
    maxBuffer: maxBuffer === 0 ? Infinity : maxBuffer,
    maxBufferOfAll: true,
  });
  return isFailure(ended) ? notStarted(ended.errnum, given) : resultOf(ended, given);
}

function notStarted(errnum: number, given: Normalized): SyncResult {
  const nothing = { output: null, stdout: null, stderr: null, status: null, signal: null };
  return { pid: 0, ...nothing, error: errorOf(errnum, given) };
}

/** As libuv has it: what is ignored beyond the third is not opened. */
function stdioKinds(stdio: unknown): Int32Array {
  if (Array.isArray(stdio) && stdio.includes('ipc')) {
    throw Object.assign(new Error('IPC cannot be used with synchronous forks'), { code: 'ERR_IPC_SYNC_FORK' });
  }
  if (typeof stdio === 'number' || (typeof stdio === 'object' && stdio !== null && !Array.isArray(stdio))) {
    throw invalidValue('stdio', 'is invalid', stdio);
  }
  const kinds = stdioOf(stdio ?? 'pipe').slice();
  for (let i = 6; i < kinds.length; i += 2) if (kinds[i] === stdioKind.null) kinds[i] = stdioKind.untouched;
  return kinds;
}

function resultOf(ended: NativeProgramOutput, given: Normalized): SyncResult {
  const { encoding } = given;
  const output = ended.output.map((bytes) =>
    bytes === null || encoding === undefined || encoding === null || encoding === 'buffer'
      ? bytes
      : bytes.toString(encoding),
  );
  const result = {
    pid: ended.pid,
    output,
    stdout: output[1] ?? null,
    stderr: output[2] ?? null,
    status: ended.signaled ? null : ended.code,
    signal: ended.signaled ? signalName(ended.code) : null,
  } as SyncResult;
  if (ended.timedOut) result.error = errorOf(errno.ETIMEDOUT, given);
  else if (ended.overflowed >= 0) result.error = errorOf(errno.ENOBUFS, given);
  return result;
}

function inputOf(input: unknown, encoding: string | null | undefined): string | Uint8Array {
  if (typeof input === 'string') {
    return encoding !== undefined && Buffer.isEncoding(String(encoding))
      ? Buffer.from(input, encoding as BufferEncoding)
      : input;
  }
  if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  if (input === undefined || input === null || input === false) return '';
  throw invalidType('options.stdio[0]', 'of type string or an instance of Buffer, TypedArray, or DataView', input);
}

function errorOf(errnum: number, { file, args }: Normalized): Error {
  const code = errnoName(errnum);
  const syscall = `spawnSync ${file}`;
  return Object.assign(new Error(`${syscall} ${code}`), {
    errno: -errnum,
    code,
    syscall,
    path: file,
    spawnargs: args.slice(1),
  });
}

/** As node:child_process has it. */
export function execFileSync(file: string, args?: unknown, options?: unknown): Output {
  const own = (Array.isArray(args) || args === undefined || args === null ? options : args) as
    SyncOptions | null | undefined;
  const list = Array.isArray(args) ? (args as string[]) : [];
  return outputOf(spawnSync(file, args, options ?? undefined), own, [own?.argv0 ?? file, ...list].join(' '));
}

/** As node:child_process has it. */
export function execSync(command: string, options?: SyncOptions | null): Output {
  validateCString(command, 'command');
  const shell = typeof options?.shell === 'string' ? options.shell : true;
  return outputOf(spawnSync(command, { ...options, shell }), options, command);
}

/** @throws Error unless it has ended with 0 */
function outputOf(result: SyncResult, options: SyncOptions | null | undefined, command: string): Output {
  const { error, status, stderr, stdout } = result;
  if (!options?.stdio && stderr) process.stderr.write(stderr);
  if (error !== undefined) throw Object.assign(error, result);
  if (status === 0) return stdout;
  const told = stderr && stderr.length > 0 ? `\n${stderr.toString()}` : '';
  throw Object.assign(new Error(`Command failed: ${command}${told}`), result);
}

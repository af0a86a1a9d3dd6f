/** What a program has written, and how it ended: of forkExecSync() and capture(). */
import { OutputError } from '../errors';
import { errno } from '../internal/errno';
import { invalidType, invalidValue, ownOnly, validateObject } from '../internal/validate';
import type { ChildResourceUsage } from './child-usage';
import type { ForkExecOptions } from './exec-options';
import type { WaitStatus } from './waitpid';

export interface OutputOptions {
  /** Written to the program's stdin, which then ends. Default: nothing. */
  input?: string | NodeJS.ArrayBufferView;
  /** Bytes of each of the program's descriptors that are taken: if there is more, it is killed. Default 1 MiB. */
  maxBuffer?: number;
  /** What stdout and stderr are decoded by. Default 'buffer': they are not. */
  encoding?: BufferEncoding | 'buffer';
}

export interface ProgramOutput<T> {
  readonly pid: number;
  readonly stdout: T;
  readonly stderr: T;
  readonly status: WaitStatus;
  readonly resourceUsage: ChildResourceUsage;
  /** Whether it took longer than `timeout`, and was killed. */
  readonly timedOut: boolean;
}

export interface CheckedOutputOptions {
  readonly input: string | Uint8Array;
  readonly maxBuffer: number;
  readonly decode: (bytes: Buffer) => string | Buffer;
  /** For forkExec(). */
  readonly rest: ForkExecOptions;
}

/** As in child_process. */
const defaultMaxBuffer = 2 ** 20;

/** @throws TypeError, RangeError */
export function outputOptions(options: unknown): CheckedOutputOptions {
  validateObject(options, 'options');
  const {
    input = '',
    maxBuffer = defaultMaxBuffer,
    encoding = 'buffer',
    ...rest
  } = ownOnly(options as OutputOptions & ForkExecOptions);
  const text = encoding === 'buffer' ? null : encodingOf(encoding);
  return {
    input: inputOf(input),
    maxBuffer: maxBufferOf(maxBuffer),
    decode: text === null ? (bytes) => bytes : (bytes) => bytes.toString(text),
    rest: ownOnly(rest),
  };
}

function inputOf(input: unknown): string | Uint8Array {
  if (typeof input === 'string') return input;
  if (!ArrayBuffer.isView(input)) {
    throw invalidType('options.input', 'of type string or an instance of Buffer, TypedArray, or DataView', input);
  }
  return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
}

function maxBufferOf(maxBuffer: unknown): number {
  if (typeof maxBuffer !== 'number') throw invalidType('options.maxBuffer', 'of type number', maxBuffer);
  if (maxBuffer >= 0 && (Number.isInteger(maxBuffer) || maxBuffer === Infinity)) return maxBuffer;
  throw invalidValue('options.maxBuffer', 'must be a whole number of bytes, or Infinity', maxBuffer);
}

function encodingOf(encoding: unknown): BufferEncoding {
  if (typeof encoding === 'string' && Buffer.isEncoding(encoding)) return encoding;
  throw invalidValue('options.encoding', "must be 'buffer' or an encoding of Buffer", encoding);
}

/** @returns the error of a program that wrote more to `descriptor` than `maxBuffer` */
export function overflow<T>(descriptor: number, maxBuffer: number, output: ProgramOutput<T>): OutputError {
  const name = ['stdin', 'stdout', 'stderr'][descriptor] ?? `descriptor ${String(descriptor)}`;
  const message = `ENOBUFS: more than ${String(maxBuffer)} bytes of ${name}`;
  const error = new OutputError(message, { code: 'ENOBUFS', errno: -errno.ENOBUFS, syscall: 'read' });
  return Object.assign(error, { output });
}

/** capture(): what a program writes. */
import { once } from 'node:events';
import type { Readable } from 'node:stream';

import { invalidValue } from '../internal/validate';
import type { ForkExecOptions } from './exec-options';
import { forkExec } from './fork-exec';
import { type OutputOptions, type ProgramOutput, outputOptions, overflow } from './program-output';

export interface CaptureOptions extends Omit<ForkExecOptions, 'stdio'>, OutputOptions {}

/**
 * Runs a program as forkExec() does, and gathers what it writes to stdout and stderr, until it has ended and everybody has closed
 * both. How it ended is not judged: see `status`.
 *
 * @returns a promise, which is rejected with an ExecError when it did not start; an OutputError ENOBUFS when it wrote more than
 *   `maxBuffer`; what `signal` was aborted with; a WaitError ECHILD when somebody else reaped it; a TypeError or RangeError for
 *   bad arguments. It has ended in any case.
 */
export function capture(
  file: string,
  args?: readonly string[],
  options?: CaptureOptions & { encoding?: 'buffer' },
): Promise<ProgramOutput<Buffer>>;
export function capture(
  file: string,
  args: readonly string[],
  options: CaptureOptions & { encoding: BufferEncoding },
): Promise<ProgramOutput<string>>;
export async function capture(
  file: string,
  args: readonly string[] = [],
  options: CaptureOptions = {},
): Promise<ProgramOutput<string | Buffer>> {
  const { input, maxBuffer, decode, rest } = outputOptions(options);
  if (rest.stdio !== undefined) throw invalidValue('options.stdio', 'is what capture() decides', rest.stdio);
  const child = forkExec(file, args, { ...rest, stdio: [input.length === 0 ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  // EPIPE: it does not want any more.
  child.stdin?.on('error', () => undefined).end(input);
  let overflowed = -1;
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream, i) =>
    gather(stream, maxBuffer, () => {
      if (overflowed < 0) overflowed = i + 1;
      // Whoever waits below hears of a failure.
      child[Symbol.asyncDispose]().catch(() => undefined);
    }),
  ) as [Gathered, Gathered];
  const ended = child.wait().then((status) => {
    // Of one that was killed, its end is enough: others may have its pipes.
    if (overflowed >= 0 || child.timedOut || rest.signal?.aborted === true) {
      child.stdout?.destroy();
      child.stderr?.destroy();
    }
    return status;
  });
  const [status] = await Promise.all([ended, closed]);
  rest.signal?.throwIfAborted();
  if (status === null || child.resourceUsage === null) throw new Error('unreachable: it has ended');
  const output = {
    pid: child.pid,
    stdout: decode(stdout.bytes()),
    stderr: decode(stderr.bytes()),
    status,
    resourceUsage: child.resourceUsage,
    timedOut: child.timedOut,
  };
  if (overflowed >= 0) throw overflow(overflowed, maxBuffer, output);
  return output;
}

interface Gathered {
  bytes(): Buffer;
}

/** Takes what comes, at most `maxBuffer` bytes; `onOverflow` is called at the first that is too much. */
function gather(stream: Readable | null, maxBuffer: number, onOverflow: () => void): Gathered {
  const chunks: Buffer[] = [];
  let size = 0;
  stream?.on('data', (chunk: Buffer) => {
    if (size > maxBuffer) return;
    chunks.push(chunk.subarray(0, maxBuffer - size));
    size += chunk.length;
    if (size > maxBuffer) onOverflow();
  });
  return { bytes: () => Buffer.concat(chunks) };
}

/** capture(): what a program writes. */
import type { Readable } from 'node:stream';

import { invalidValue } from '../internal/validate';
import type { ChildHandle } from './child-handle';
import type { ForkExecOptions } from './exec-options';
import { forkExec } from './fork-exec';
import { type OutputOptions, type ProgramOutput, outputOptions, overflow } from './program-output';

/** Of setTimeout(). */
const longestTimer = 2 ** 31 - 1;

export interface CaptureOptions extends Omit<ForkExecOptions, 'stdio'>, OutputOptions {}

/**
 * Runs a program as forkExec() does, and gathers what it writes to stdout and stderr, until it has ended and everybody has closed
 * both. How it ended is not judged: see `status`.
 *
 * @returns a promise, which is rejected with an ExecError when it did not start; an OutputError ENOBUFS when it wrote more than
 *   `maxBuffer`; what `signal` was aborted with; a WaitError ECHILD when somebody else reaped it; a TypeError or RangeError for
 *   bad arguments; an AtforkError EPERM when it was to be killed and runs as another user by now. But for the last, it has ended.
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
  const began = performance.now();
  const child = forkExec(file, args, { ...rest, stdio: [input.length === 0 ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
  // With an 'error' nobody may be waiting for what it rejects: once(child, 'close') would do so, too.
  const failed = new Promise<never>((_, reject) => child.on('error', reject));
  const closed = Promise.race([new Promise((resolve) => child.once('close', resolve)), failed]);
  closed.catch(() => {
    leave(child);
  });
  // EPIPE: it does not want any more.
  child.stdin?.on('error', () => undefined).end(input);
  let overflowed = -1;
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream, i) =>
    gather(stream, maxBuffer, () => {
      if (overflowed < 0) overflowed = i + 1;
      if (child.hasEnded) leave(child);
      else child[Symbol.asyncDispose]().catch((error: unknown) => child.emit('error', error));
    }),
  ) as [Gathered, Gathered];
  const status = await Promise.race([child.wait(), failed]);
  if (status === null || child.resourceUsage === null) throw new Error('unreachable: it has ended');
  let timedOut = child.timedOut;
  if (overflowed >= 0 || timedOut || rest.signal?.aborted === true) leave(child);
  else timedOut = await closedInTime(child, closed, rest, began);
  await closed;
  rest.signal?.throwIfAborted();
  const output = {
    pid: child.pid,
    stdout: decode(stdout.bytes()),
    stderr: decode(stderr.bytes()),
    status,
    resourceUsage: child.resourceUsage,
    timedOut,
  };
  if (overflowed >= 0) throw overflow(overflowed, maxBuffer, output);
  return output;
}

/** It has ended, and others may have its pipes: what is there is read, in one or two turns of the event loop, and no more. */
function leave({ stdout, stderr }: ChildHandle): void {
  setImmediate(() =>
    setImmediate(() => {
      stdout?.destroy();
      stderr?.destroy();
    }),
  );
}

/** The limits go for those who have its pipes, too, when it has ended. @returns whether they took too long */
async function closedInTime(
  child: ChildHandle,
  closed: Promise<unknown>,
  { timeout = 0, signal }: ForkExecOptions,
  began: number,
): Promise<boolean> {
  let isLate = false;
  const giveUp = (): void => {
    leave(child);
  };
  const expire = (): void => {
    isLate = true;
    leave(child);
  };
  const left = Math.max(0, began + timeout - performance.now());
  const timer = timeout > 0 && left < longestTimer ? setTimeout(expire, left) : undefined;
  signal?.addEventListener('abort', giveUp, { once: true });
  try {
    await closed;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', giveUp);
  }
  return isLate;
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

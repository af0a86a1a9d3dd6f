import { isMainThread } from 'node:worker_threads';

import { nativeBinding } from '../binding';
import { ExecError, fromNative } from '../errors';
import { invalidValue, validateArray, validateCString, validateObject } from '../internal/validate';

/**
 * Replaces the program of this process, keeping its pid: execve(2). No `'exit'` listener runs. The new program starts
 * as one started by `child_process.spawn` does: fds 0-2 are open, no signal is blocked or ignored (Node's own
 * `process.execve` leaves SIGPIPE ignored). What Node opened is closed by O_CLOEXEC.
 *
 * @param file a path; PATH is not searched.
 * @param args the whole argument list, `args[0]` included.
 * @param env the whole environment of the new program; an `undefined` value is left out.
 * @returns never; when it throws, the process is as it was.
 * @throws ExecError ENOENT, EACCES, ENOEXEC, E2BIG, ...
 * @throws TypeError for arguments of the wrong type or with NUL bytes, for empty `args`, and in a Worker
 *   (ERR_WORKER_UNSUPPORTED_OPERATION).
 */
export function execve(
  file: string,
  args: readonly string[] = [file],
  env: Readonly<Record<string, string | undefined>> = process.env,
): never {
  if (!isMainThread) {
    const error = new TypeError('Calling execve is not supported in workers');
    throw Object.assign(error, { code: 'ERR_WORKER_UNSUPPORTED_OPERATION' });
  }
  validateCString(file, 'file');
  validateArgs(args);
  throw fromNative(ExecError, nativeBinding().execve(file, args, environment(env)));
}

function validateArgs(args: unknown): asserts args is readonly string[] {
  validateArray(args, 'args');
  // Linux puts an empty string in the missing place of argv[0], older kernels nothing, and programs index past it.
  if (args.length === 0) throw invalidValue('args', 'must hold at least args[0], the name of the program', args);
  for (const [i, arg] of args.entries()) validateArg(arg, `args[${String(i)}]`);
}

/** As Node's process.execve: any element that is no string is an invalid value of the list. */
function validateArg(arg: unknown, name: string): asserts arg is string {
  if (typeof arg !== 'string' || arg.includes('\0')) {
    throw invalidValue(name, 'must be a string without null bytes', arg);
  }
}

function environment(env: unknown): string[] {
  validateObject(env, 'env');
  // As in child_process, so that `{ ...process.env, NAME: undefined }` takes a variable away.
  const set = Object.entries(env).filter(([, value]) => value !== undefined);
  return set.map(([name, value]: [string, unknown]) => {
    if (typeof value !== 'string' || name.includes('\0') || value.includes('\0')) {
      throw invalidValue('env', 'must be an object with string keys and values without null bytes', env);
    }
    return `${name}=${value}`;
  });
}

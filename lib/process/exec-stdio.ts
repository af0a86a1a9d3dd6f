/** The option `stdio` of forkExec(). */
import { stdioKind } from '../internal/native-exec';
import { invalidValue, validateInteger } from '../internal/validate';

/** One descriptor of the program: a pipe, the parent's of the same number, /dev/null, or a copy of a descriptor. */
export type StdioOption = 'pipe' | 'inherit' | 'ignore' | number | { readonly fd: number } | null | undefined;

export const maxFd = 2 ** 31 - 1;

/** The three of one kind. */
const uniform = new Map<unknown, Int32Array>();

/** @throws TypeError, RangeError */
export function stdioOf(stdio: unknown = 'pipe'): Int32Array {
  if (typeof stdio !== 'string') return stdioList(Array.isArray(stdio) ? stdio : [stdio, stdio, stdio]);
  const known = uniform.get(stdio);
  if (known !== undefined) return known;
  if (!['pipe', 'overlapped', 'inherit', 'ignore'].includes(stdio)) {
    throw invalidValue('options.stdio', "must be 'pipe', 'inherit', 'ignore' or a list", stdio);
  }
  const list = stdioList([stdio, stdio, stdio]);
  uniform.set(stdio, list);
  return list;
}

function stdioList(list: readonly unknown[]): Int32Array {
  const whole = [...list, ...Array<undefined>(Math.max(0, 3 - list.length)).fill(undefined)];
  return Int32Array.from(whole.flatMap((each, fd) => oneStdio(each, fd)));
}

function oneStdio(value: unknown, fd: number): [kind: number, fd: number] {
  const name = `options.stdio[${String(fd)}]`;
  switch (value ?? (fd < 3 ? 'pipe' : 'ignore')) {
    case 'pipe':
    case 'overlapped':
      return [fd === 0 ? stdioKind.input : fd < 3 ? stdioKind.output : stdioKind.socket, -1];
    case 'ignore':
      return [stdioKind.null, -1];
    case 'inherit':
      return [stdioKind.inherit, fd];
    default:
      return [stdioKind.inherit, fdOf(value, name)];
  }
}

/** Of a number, or of a stream that has one. */
function fdOf(value: unknown, name: string): number {
  if (typeof value === 'number') {
    validateInteger(value, name, 0, maxFd);
    return value;
  }
  if (typeof value === 'object' && value !== null) {
    const { fd, _handle } = value as { fd?: unknown; _handle?: { fd?: unknown } | null };
    const own = typeof fd === 'number' ? fd : _handle?.fd;
    if (typeof own === 'number' && Number.isInteger(own) && own >= 0 && own <= maxFd) return own;
    throw invalidValue(name, 'must be a stream with an open descriptor', value);
  }
  throw invalidValue(name, "must be 'pipe', 'inherit', 'ignore', a descriptor or a stream", value);
}

/** Options of forkExec(): what a user writes, checked, and turned into what the native layer takes. */
import { isMainThread } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

import { type NativeBinding, nativeBinding } from '../binding';
import {
  type NativeExecRequest,
  type NativeExecRest,
  type NullTerminated,
  execFlags,
  nullTerminated,
} from '../internal/native-exec';
import {
  invalidType,
  invalidValue,
  outOfRange,
  ownOnly,
  validateAbortSignal,
  validateArray,
  validateBoolean,
  validateCString,
  validateInteger,
  validateObject,
  validateTimeout,
} from '../internal/validate';
import { environmentOf } from './environment';
import { type StdioOption, maxFd, stdioOf } from './exec-stdio';
import { type LeftAtExit, validateLeftAtExit } from './left-at-exit';
import { signalNumber } from './signals';

export type SignalOption = string | number;

/** The resources of setrlimit(2), without RLIMIT_. */
export type ResourceName = keyof typeof resources;

/** Soft and hard limit; a number is both. Infinity is none. */
export type ResourceLimit = number | { readonly soft: number; readonly hard: number };

export interface ForkExecOptions {
  /** Default: the parent's; with `chroot` the new root. */
  cwd?: string | URL;
  /** The whole environment; PATH is searched in it, and is `/usr/bin:/bin` when it is not set. Default `process.env`. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Default: `file`. */
  argv0?: string;
  /** Default `'pipe'`. Beyond the third a pipe is a pair of sockets, which both sides read and write. */
  stdio?: StdioOption | readonly StdioOption[];
  /** Descriptors that the program has under the same numbers; beyond `stdio`. */
  passFds?: readonly number[];
  /** Whether all others are closed; else those without O_CLOEXEC stay. Default true. */
  closeFds?: boolean;
  /** A session of its own: setsid(2). Default false. */
  setsid?: boolean;
  /** Node's name for `setsid`. */
  detached?: boolean;
  /** Joins this process group; 0 is one of its own: setpgid(2). */
  processGroup?: number;
  /** This descriptor of the program's becomes its controlling terminal; with `setsid`. */
  controllingTerminal?: number;
  /** The program's group becomes the foreground group of the terminal that is this descriptor of it. */
  foreground?: number;
  umask?: number;
  /** A number or a name of the user database. Without `extraGroups` the program is in no group but that of `gid`. */
  uid?: number | string;
  gid?: number | string;
  /** Supplementary groups: exactly these. */
  extraGroups?: readonly (number | string)[];
  rlimits?: Readonly<Partial<Record<ResourceName, ResourceLimit>>>;
  /** -20 to 19: setpriority(2). */
  nice?: number;
  /** Numbers of processors: sched_setaffinity(2). */
  affinity?: readonly number[];
  /** Sent to the program when this process ends, however it does. Not in a Worker. */
  parentDeathSignal?: SignalOption;
  /** PR_SET_NO_NEW_PRIVS. Default false. */
  noNewPrivs?: boolean;
  chroot?: string | URL;
  /** Whether signals that this process ignores (Node does SIGPIPE) are not ignored by the program. Default true. */
  restoreSignals?: boolean;
  /** The signals that are blocked in the program. Default: those that are in this thread, which is none. */
  sigmask?: readonly SignalOption[];
  /** Kills the program when it is aborted. */
  signal?: AbortSignal;
  /** Milliseconds that the program may take; 0 is no limit. Default 0. */
  timeout?: number;
  /** What `timeout`, `signal` and disposal send. Default 'SIGTERM'. */
  killSignal?: SignalOption;
  /** Milliseconds from there to SIGKILL, if it has not ended; false: it is never sent. Default 5000. */
  forceKillAfterDelay?: number | false;
  /**
   * If it has not ended when this process exits, by `process.exit()` or naturally: `'warn'` names it in a warning
   * (ATFORK_CHILDREN_LEFT), `'kill'` sends it `killSignal`. Default 'ignore'.
   */
  leftAtExit?: LeftAtExit;
}

/** How long a program may take. */
export interface Lifetime {
  readonly signal: AbortSignal | undefined;
  readonly timeout: number;
  readonly killSignal: number;
  readonly forceKillAfterDelay: number | false;
}

export interface ExecRequest {
  readonly native: NativeExecRequest;
  /** As it was given. */
  readonly stdio: unknown;
  readonly lifetime: Lifetime;
  readonly leftAtExit: LeftAtExit;
}

/** asm-generic/resource.h: the numbers of all architectures that Node runs on. */
const resources = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
} as const;

/** Of what has no limit; disposal ends it so, too. */
export const unlimited: Lifetime = {
  signal: undefined,
  timeout: 0,
  killSignal: 15, // SIGTERM
  forceKillAfterDelay: 5000,
};

/**
 * What an option is about. Programs are mostly started with two or three, and to look for each of the others would take longer
 * than all else here: where none of a kind is given, its defaults are taken as a whole.
 */
const kinds = { flags: 1, lifetime: 2, rest: 4 } as const;

const kindOf = new Map<string, number>(
  Object.entries({
    cwd: kinds.rest,
    env: 0,
    argv0: 0,
    stdio: 0,
    passFds: 0,
    closeFds: kinds.flags,
    setsid: kinds.flags,
    detached: kinds.flags,
    processGroup: kinds.rest,
    controllingTerminal: kinds.rest,
    foreground: kinds.rest,
    umask: kinds.rest,
    uid: kinds.rest,
    gid: kinds.rest,
    extraGroups: kinds.rest,
    rlimits: kinds.rest,
    nice: kinds.rest,
    affinity: kinds.rest,
    parentDeathSignal: kinds.rest,
    noNewPrivs: kinds.flags,
    chroot: kinds.rest,
    restoreSignals: kinds.flags,
    sigmask: kinds.rest,
    signal: kinds.lifetime,
    timeout: kinds.lifetime,
    killSignal: kinds.lifetime,
    forceKillAfterDelay: kinds.lifetime,
    leftAtExit: 0,
  } satisfies Record<keyof ForkExecOptions, number>),
);

const maxId = 2 ** 32 - 2; // of 32 bits, and the last one means "as it is": setresuid(2)
const mostProcessors = 2 ** 16;

/** @throws TypeError, RangeError */
export function execRequest(file: unknown, args: unknown, options: unknown): ExecRequest {
  validateCString(file, 'file');
  if (file === '') throw invalidValue('file', 'must not be empty', file);
  validateArray(args, 'args');
  validateObject(options, 'options');
  const given: ForkExecOptions = ownOnly(options);
  let has = 0;
  for (const option in given) has |= kindOf.get(option) ?? 0;
  const lifetime = (has & kinds.lifetime) === 0 ? unlimited : lifetimeOf(given);
  const { argv0 = file, env = process.env, leftAtExit = 'ignore' } = given;
  if (leftAtExit !== 'ignore') validateLeftAtExit(leftAtExit, 'options.leftAtExit');
  if (argv0 !== file) validateCString(argv0, 'options.argv0');
  const stdio = stdioOf(given.stdio);
  const native = {
    file,
    args: argsOf(argv0, args),
    env: environmentOf(env, 'options.env'),
    stdio,
    passFds: passedFds(given.passFds, stdio.length / 2),
    flags: (has & kinds.flags) === 0 ? defaultFlags : flagsOf(given),
    rest: (has & kinds.rest) === 0 ? undefined : restOf(given, stdio.length / 2),
  };
  return { native, stdio: given.stdio, lifetime, leftAtExit };
}

function argsOf(argv0: string, args: readonly unknown[]): NullTerminated {
  const all = [argv0];
  for (let i = 0; i < args.length; ++i) {
    const arg = args[i];
    if (typeof arg !== 'string' || arg.includes('\0')) validateCString(arg, `args[${String(i)}]`);
    all.push(arg);
  }
  return nullTerminated(all);
}

const defaultFlags = execFlags.closeFds | execFlags.restoreSignals;

function flagsOf(given: ForkExecOptions): number {
  const setsid = booleanOf(given, 'setsid') ?? booleanOf(given, 'detached') ?? false;
  return (
    (booleanOf(given, 'closeFds') === false ? 0 : execFlags.closeFds) |
    (booleanOf(given, 'restoreSignals') === false ? 0 : execFlags.restoreSignals) |
    (setsid ? execFlags.setsid : 0) |
    (booleanOf(given, 'noNewPrivs') === true ? execFlags.noNewPrivs : 0)
  );
}

function restOf(given: ForkExecOptions, stdioCount: number): NativeExecRest {
  return ownOnly<NativeExecRest>({
    sigmask: listOf(given.sigmask, 'options.sigmask', (each, name) => signalNumber(each, name)),
    processGroup: integerOf(given, 'processGroup', 0, maxFd),
    controllingTerminal: integerOf(given, 'controllingTerminal', 0, stdioCount - 1),
    foreground: integerOf(given, 'foreground', 0, stdioCount - 1),
    umask: integerOf(given, 'umask', 0, 0o777),
    rlimits: limitsOf(given.rlimits),
    nice: integerOf(given, 'nice', -20, 19),
    affinity: affinityOf(given.affinity),
    chroot: folderOf(given.chroot, 'options.chroot'),
    cwd: folderOf(given.cwd, 'options.cwd'),
    parentDeathSignal: parentDeathSignalOf(given.parentDeathSignal),
    ...idsOf(given),
  });
}

function lifetimeOf({
  signal,
  timeout = unlimited.timeout,
  killSignal = unlimited.killSignal,
  forceKillAfterDelay = unlimited.forceKillAfterDelay,
}: ForkExecOptions): Lifetime {
  if (signal !== undefined) validateAbortSignal(signal, 'options.signal');
  validateTimeout(timeout, 'options.timeout');
  if (forceKillAfterDelay !== false) validateTimeout(forceKillAfterDelay, 'options.forceKillAfterDelay');
  return { signal, timeout, killSignal: signalNumber(killSignal, 'options.killSignal'), forceKillAfterDelay };
}

function passedFds(fds: unknown, stdioCount: number): Int32Array | null {
  if (fds === undefined) return null;
  const list = listOf(fds, 'options.passFds', (each, name) => {
    validateInteger(each, name, 0, maxFd);
    if (each < stdioCount) throw invalidValue(name, 'must not be a descriptor of `stdio`', each);
    return each;
  });
  const sorted = (list ?? []).toSorted((a, b) => a - b);
  const twice = sorted.find((fd, i) => fd === sorted[i + 1]);
  if (twice !== undefined) throw invalidValue('options.passFds', 'must name each descriptor once', fds);
  return Int32Array.from(sorted);
}

function listOf<T>(list: unknown, name: string, of: (each: unknown, name: string) => T): T[] | undefined {
  if (list === undefined) return undefined;
  validateArray(list, name);
  // What is not there is as good as undefined: map() would leave it out.
  return Array.from(list, (each, i) => of(each, `${name}[${String(i)}]`));
}

function booleanOf(options: ForkExecOptions, key: keyof ForkExecOptions): boolean | undefined {
  const value: unknown = options[key];
  if (value !== undefined) validateBoolean(value, `options.${key}`);
  return value;
}

function integerOf(options: ForkExecOptions, key: keyof ForkExecOptions, min: number, max: number): number | undefined {
  const value: unknown = options[key];
  if (value !== undefined) validateInteger(value, `options.${key}`, min, max);
  return value;
}

function folderOf(value: unknown, name: string): string | undefined {
  if (value === undefined) return undefined;
  const folder = value instanceof URL ? fileURLToPath(value) : value;
  validateCString(folder, name);
  if (folder === '') throw invalidValue(name, 'must not be empty', value);
  return folder;
}

function limitsOf(limits: unknown): number[] | undefined {
  if (limits === undefined) return undefined;
  validateObject(limits, 'options.rlimits');
  return Object.entries(limits).flatMap(([key, value]: [string, unknown]) => {
    const name = `options.rlimits.${key}`;
    if (!Object.hasOwn(resources, key)) throw invalidValue(name, 'must be a resource of setrlimit(2)', key);
    if (value === undefined) return [];
    if (typeof value !== 'number' && (typeof value !== 'object' || value === null)) {
      throw invalidType(name, 'of type number or object', value);
    }
    const { soft, hard } =
      typeof value === 'number' ? { soft: value, hard: value } : (value as { soft?: unknown; hard?: unknown });
    return [resources[key as ResourceName], limitOf(soft, `${name}.soft`), limitOf(hard, `${name}.hard`)];
  });
}

function limitOf(value: unknown, name: string): number {
  if (value === Infinity) return -1;
  validateInteger(value, name, 0);
  return value;
}

function affinityOf(processors: unknown): number[] | undefined {
  if (processors === undefined) return undefined;
  const mask: number[] = [];
  listOf(processors, 'options.affinity', (each, name) => {
    validateInteger(each, name, 0, mostProcessors - 1);
    const byte = each >> 3;
    while (mask.length <= byte) mask.push(0);
    mask[byte] = (mask[byte] ?? 0) | (1 << (each & 7));
  });
  if (mask.length === 0) throw invalidValue('options.affinity', 'must name a processor', processors);
  while (mask.length % 8 !== 0) mask.push(0);
  return mask;
}

function parentDeathSignalOf(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (!isMainThread) {
    const reason = 'cannot be used in a Worker: it is sent when the thread ends that started the program';
    throw invalidValue('options.parentDeathSignal', reason, value);
  }
  return signalNumber(value, 'options.parentDeathSignal');
}

function idsOf({ uid, gid, extraGroups }: ForkExecOptions): Pick<NativeExecRest, 'uid' | 'gid' | 'extraGroups'> {
  return {
    uid: uid === undefined ? undefined : idOf(uid, 'options.uid', 'userId'),
    gid: gid === undefined ? undefined : idOf(gid, 'options.gid', 'groupId'),
    extraGroups: listOf(extraGroups, 'options.extraGroups', (each, name) => idOf(each, name, 'groupId')),
  };
}

function idOf(value: unknown, name: string, find: keyof Pick<NativeBinding, 'userId' | 'groupId'>): number {
  if (typeof value === 'string') {
    validateCString(value, name);
    const id = nativeBinding()[find](value);
    if (id < 0) throw invalidValue(name, `must be the name of a ${find === 'userId' ? 'user' : 'group'}`, value);
    return id;
  }
  if (typeof value !== 'number') throw invalidType(name, 'of type number or string', value);
  if (!Number.isInteger(value) || value < 0 || value > maxId) {
    throw outOfRange(name, `>= 0 && <= ${String(maxId)}`, value);
  }
  return value;
}

/**
 * What fork() says of threads that the child loses, and when it refuses for them (docs/fork-safety.md, "The warning").
 *
 * Which there are is found natively while all others stand still, so that it is as true as it can be; what is done about
 * it is decided here. CPython's, since 3.12, counts all threads: in Node there are seven before any program has begun.
 */
import * as path from 'node:path';

import { type ThreadInfo, type ThreadKind, threadKinds } from '../census/threads';
import type { ForkError } from '../errors';
import { callSites } from '../internal/call-sites';
import type { NativeFork } from '../internal/native-fork';
import { dropPendingWarnings } from '../internal/pending-warnings';
import { throwLater } from '../internal/throw-later';
import {
  invalidValue,
  validateArray,
  validateBoolean,
  validateCString,
  validateObject,
  validateOneOf,
} from '../internal/validate';
import { refusal } from './fork-support';

/** Threads that agree with all that is given here. At least one of them is. */
export interface ThreadPattern {
  kind?: ThreadKind;
  /** File name of the shared object of its start routine, as in `threads()`. */
  module?: string;
  name?: string;
}

export interface MultiThreadedOptions {
  /**
   * When a thread exists that the child loses and that may hold a lock: a live Worker, a thread of a native addon, a
   * thread of libuv's pool in a system call. 'warn': a DeprecationWarning with code ATFORK_DEP0001 in the parent, once for
   * each call site and set of such threads. 'throw': ERR_ATFORK_MULTITHREADED, and no child. Default 'warn'.
   */
  onMultiThreaded?: 'warn' | 'throw' | 'ignore';
  /** Threads that are known to be no danger. Default none. */
  allowThreads?: readonly ThreadPattern[];
  /** Take every other thread of the process for one of them, the runtime's own too, as CPython does. Default false. */
  countAllThreads?: boolean;
}

/** How fork() is to look for such threads: the last two arguments of the native function. */
export interface LostThreadsRequest {
  readonly bits: number;
  readonly allowed: readonly ThreadPattern[] | undefined;
}

/** Of `NativeFork.fork`. */
const [look, refuse, countAll] = [1, 2, 4];

const code = 'ATFORK_DEP0001';

/** Checks the options. What they ask for may be changed by --no-deprecation and --throw-deprecation, or their properties. */
export function lostThreadsRequest(options: MultiThreadedOptions): LostThreadsRequest {
  const { onMultiThreaded = 'warn', allowThreads, countAllThreads = false } = options;
  validateOneOf(onMultiThreaded, 'options.onMultiThreaded', ['warn', 'throw', 'ignore']);
  if (allowThreads !== undefined) validatePatterns(allowThreads, 'options.allowThreads');
  validateBoolean(countAllThreads, 'options.countAllThreads');
  return { bits: bitsOf(onMultiThreaded, countAllThreads), allowed: allowThreads };
}

/** The same for no options. */
export function usualLostThreads(): LostThreadsRequest {
  return { bits: bitsOf('warn', false), allowed: undefined };
}

function bitsOf(onMultiThreaded: 'warn' | 'throw' | 'ignore', countAllThreads: boolean): number {
  const all = countAllThreads ? countAll : 0;
  if (onMultiThreaded === 'throw') return look | refuse | all;
  if (onMultiThreaded === 'ignore' || process.noDeprecation === true) return 0;
  // Node throws such a warning a tick later: by then there would be a child.
  return process.throwDeprecation ? look | refuse | all : look | all;
}

function validatePatterns(patterns: unknown, name: string): void {
  validateArray(patterns, name);
  patterns.forEach((pattern, index) => {
    const at = `${name}[${String(index)}]`;
    validateObject(pattern, at);
    const { kind, module, name: threadName } = pattern as ThreadPattern;
    if (kind !== undefined) validateOneOf(kind, `${at}.kind`, threadKinds);
    if (module !== undefined) validateCString(module, `${at}.module`);
    if (threadName !== undefined) validateCString(threadName, `${at}.name`);
    // It would allow every thread there is, and is more likely to be misspelled.
    if (kind === undefined && module === undefined && threadName === undefined) {
      throw invalidValue(at, 'must have a kind, a module or a name', pattern);
    }
  });
}

/** One line, whatever bytes their names hold: `foreign "name" (module.node, tid 123), ...`. */
function describeThreads(threads: readonly ThreadInfo[]): string {
  return threads
    .map(({ kind, name, module, tid }) => {
      return `${kind} ${JSON.stringify(name)} (${module ?? 'module unknown'}, tid ${String(tid)})`;
    })
    .join(', ');
}

/** The error for the threads that have made native code refuse. */
export function multiThreaded(native: NativeFork): ForkError {
  return refusal('ERR_ATFORK_MULTITHREADED', describeThreads((native.lostThreads() ?? []) as ThreadInfo[]));
}

/** Call sites and sets of threads that a warning was given for. */
const warned = new Set<string>();

/**
 * Parent, after the fork: warns of the threads that the child has lost. `caller` is the function that the program called.
 * Never throws: the child's pid would be lost.
 */
export function warnOfLostThreads(native: NativeFork, caller: () => unknown): void {
  const lost = native.lostThreads() as ThreadInfo[] | null;
  if (lost === null) return;
  try {
    const set = new Set(lost.map(({ kind, module, name }) => JSON.stringify([kind, module, name])));
    const key = [callSite(), ...[...set].sort()].join('\n');
    if (warned.has(key)) return;
    warned.add(key);
    const message = `This process (pid=${String(process.pid)}) is multi-threaded, use of fork() may lead to deadlocks in the child.`;
    const detail = `Lost in the child: ${describeThreads(lost)}`;
    process.emitWarning(message, { type: 'DeprecationWarning', code, detail, ctor: caller });
  } catch (error) {
    // emitWarning is the program's to replace.
    throwLater(error);
  }
}

/** Child: what the parent has said, or is about to say, is not the child's to say. */
export function forgetWarnings(): void {
  warned.clear();
  dropPendingWarnings(code);
}

/** More than the frames of this package that can be in the way. */
const framesLooked = 30;
const packageFolder = path.join(__dirname, '..', path.sep);

/** The place in the program that has called this package; empty when there is none, as for setTimeout(fork). */
function callSite(): string {
  const site = callSites(framesLooked).find((each) => !isOurs(each.getFileName()) && !isNodes(each));
  if (site === undefined) return '';
  const file = site.getFileName() ?? site.getEvalOrigin() ?? '';
  return [file, site.getLineNumber(), site.getColumnNumber()].join(':');
}

function isOurs(file: string | null | undefined): boolean {
  return file?.startsWith(packageFolder) ?? false;
}

/** Node's own code, or the engine's. */
function isNodes(site: NodeJS.CallSite): boolean {
  return site.getFileName()?.startsWith('node:') ?? (site.isNative() || !site.isEval());
}

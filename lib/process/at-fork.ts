/**
 * Hooks: what a program does around each fork() of its own, on the main thread, as os.register_at_fork of Python has it.
 *
 * Forks of others (child_process.spawn, a native library) run no JavaScript, so no hook either; the C handlers that keep
 * `globalLock` whole do run there (native/posix/at_fork_hook.cc).
 */
import { isMainThread } from 'node:worker_threads';

import { ForkError, codes } from '../errors';
import { loadRefusal, refusal } from './fork-support';
import { throwLater } from '../internal/throw-later';
import { invalidReturn, invalidValue, isThenable, validateFunction, validateObject } from '../internal/validate';

/** The process that a hook's error belongs to. */
export type AtForkSide = 'parent' | 'child';

export type HookErrorHandler = (error: unknown, side: AtForkSide) => void;

export interface AtForkHooks {
  /** In the parent, before anything is forked; the hook registered last runs first. To throw is to refuse the fork. */
  before?: () => void;
  /** In the parent, in order of registration; also when there was no fork after all, to undo what `before` did. */
  afterInParent?: () => void;
  /** In the child, in order of registration, before fork() returns there. */
  afterInChild?: () => void;
  /** Gets what these hooks throw where fork() does not throw it. Default: `onHookError` of fork(). */
  onHookError?: HookErrorHandler;
}

/** A registration of hooks. Fit for `using`. */
export interface AtForkRegistration {
  /** From now on none of the hooks is called, in a fork that is under way neither. In the parent or in the child alone. */
  unregister(): void;
  [Symbol.dispose](): void;
}

interface Hook {
  before: (() => unknown) | undefined;
  parent: (() => unknown) | undefined;
  child: (() => unknown) | undefined;
  onHookError: HookErrorHandler | undefined;
}

/** In order of registration. */
const registered = new Set<Hook>();

/** @internal */
export const registeredHooks: ReadonlySet<unknown> = registered;

/**
 * Has hooks run around every fork() from the next one on. They are called as methods of `hooks`, and what is changed
 * there later does not count. A child inherits them. fork() inside a hook is refused: ERR_ATFORK_REENTRANT.
 *
 * @throws ForkError ERR_ATFORK_IN_WORKER; ERR_ATFORK_DUPLICATE where another copy of this package forks, and would not
 * run them.
 */
export function registerAtFork(hooks: AtForkHooks): AtForkRegistration {
  validateObject(hooks, 'hooks');
  const hook: Hook = {
    before: methodOf(hooks, 'before'),
    parent: methodOf(hooks, 'afterInParent'),
    child: methodOf(hooks, 'afterInChild'),
    onHookError: methodOf(hooks, 'onHookError'),
  };
  if ((hook.before ?? hook.parent ?? hook.child) === undefined) {
    throw invalidValue('hooks', "must have a function 'before', 'afterInParent' or 'afterInChild'", hooks);
  }
  if (!isMainThread) throw refusal('ERR_ATFORK_IN_WORKER');
  if (loadRefusal?.code === 'ERR_ATFORK_DUPLICATE') throw loadRefusal;
  registered.add(hook);
  const unregister = (): void => {
    registered.delete(hook);
  };
  return { unregister, [Symbol.dispose]: unregister };
}

function methodOf<K extends keyof AtForkHooks>(hooks: AtForkHooks, name: K): AtForkHooks[K] | undefined {
  const method = hooks[name];
  if (method === undefined) return undefined;
  validateFunction(method, `hooks.${name}`);
  return method.bind(hooks) as AtForkHooks[K];
}

/**
 * Runs the `before` hooks of those registered now. Returns what runs the others: once, after the fork on either side, or
 * in the parent when there was none after all. That never throws. Null when there is nobody to run.
 *
 * @throws ForkError ERR_ATFORK_HOOK_FAILED, its `cause` what the hook threw; TypeError when it returned a thenable. The
 * hooks that had run before it have got their `afterInParent` by then.
 */
export function runBeforeHooks(
  beforeErrors: 'refuse' | 'continue',
  onHookError: HookErrorHandler | undefined,
): ((side: AtForkSide) => void) | null {
  if (registered.size === 0) return null;
  const reached: Hook[] = []; // the last registered first
  const survived: [hook: Hook, error: unknown][] = [];

  const runAfter = (side: AtForkSide): void => {
    const report = (hook: Hook, error: unknown): void => {
      reportError(hook.onHookError ?? onHookError, error, side);
    };
    // Not until now, and so not in the child as well.
    if (side === 'parent') for (const [hook, error] of survived) report(hook, error);
    for (const hook of reached.reverse()) {
      if (!registered.has(hook)) continue;
      try {
        hook[side]?.();
      } catch (error) {
        report(hook, error);
      }
    }
  };

  for (const hook of [...registered].reverse()) {
    if (!registered.has(hook)) continue;
    const failure = callBefore(hook);
    if (failure !== null) {
      if (beforeErrors === 'refuse') {
        runAfter('parent');
        throw failure.refusal;
      }
      survived.push([hook, failure.error]);
    }
    reached.push(hook);
  }
  return runAfter;
}

/** Null, or what went wrong and what fork() throws for it. */
function callBefore(hook: Hook): { error: unknown; refusal: Error } | null {
  try {
    const result = hook.before?.();
    if (!isThenable(result)) return null;
    const error = invalidReturn('no thenable', 'before', result); // a fork cannot wait for it
    return { error, refusal: error };
  } catch (error) {
    const code = 'ERR_ATFORK_HOOK_FAILED';
    return { error, refusal: new ForkError(`${code}: ${codes[code]}: ${messageOf(error)}`, { code, cause: error }) };
  }
}

/** Whatever was thrown: a proxy, or an object without a prototype, may throw again when it is looked at. */
function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return 'something that cannot be printed';
  }
}

function reportError(handler: HookErrorHandler | undefined, error: unknown, side: AtForkSide): void {
  let unheard = error;
  try {
    if (handler !== undefined) {
      handler(error, side);
      return;
    }
  } catch (another) {
    unheard = another;
  }
  throwLater(unheard);
}

/**
 * Warnings of any kind that are on their way at a fork: the parent gives them, a child does not. Each is a call of `doEmitWarning`
 * on a tick (lib/internal/process/warning.js) whose async id is lower than what is queued later.
 */
import { AsyncResource, executionAsyncId } from 'node:async_hooks';

import { callSites } from './call-sites';

type Emit = (...args: unknown[]) => boolean;

/** Ids of what this process has queued itself are higher. */
let lastInherited = 0;
/** Those `emit` of `process` that look at it: a fork later finds the one there that it needs. */
const filters = new WeakSet();

/**
 * Child. `code`: that of warnings which are recognised by it where nobody can tell who emits (--frozen-intrinsics). There is no tick
 * at which this ends, since hooks of node:async_hooks that the child sets would see it: it ends with the first warning of its own.
 */
export function dropPendingWarnings(code: string): void {
  lastInherited = new AsyncResource('ATFORK', { requireManualDestroy: true }).asyncId();
  const own = Object.getOwnPropertyDescriptor(process, 'emit');
  const ownEmit = own?.value as Emit | undefined;
  if (ownEmit !== undefined && filters.has(ownEmit)) return;
  const prototype = Object.getPrototypeOf(process) as { emit: Emit }; // node:domain puts its own there
  // By this name Node tells who has called (DEP0097).
  // eslint-disable-next-line @typescript-eslint/unbound-method -- `process` is its receiver
  const { emit } = {
    emit(this: unknown, ...args: unknown[]): boolean {
      if (args[0] === 'warning' && isNodes(args[1], code)) {
        if (executionAsyncId() < lastInherited) return true;
        if (process.emit === emit) restore(own);
      }
      // No spread: a program may have taken the iterator of arrays away.
      return Reflect.apply(ownEmit ?? prototype.emit, this, args);
    },
  };
  // A frozen `process` is as it is.
  if (Reflect.defineProperty(process, 'emit', { value: emit, writable: true, configurable: true })) filters.add(emit);
}

/** Not one that a program emits by itself. */
function isNodes(warning: unknown, code: string): boolean {
  // Its caller is `emit`, and that one's is who gives the warning.
  const giver = callSites(4)[3];
  return giver?.getFunctionName() === 'doEmitWarning' || (warning as { code?: string } | undefined)?.code === code;
}

function restore(own: PropertyDescriptor | undefined): void {
  if (own === undefined) Reflect.deleteProperty(process, 'emit');
  else Object.defineProperty(process, 'emit', own);
}

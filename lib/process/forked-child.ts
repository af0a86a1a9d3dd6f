/** What is left to be done in JavaScript in a forked child, before its own code goes on. */
import type { ChildProcess } from 'node:child_process';

import { type NativeBinding, nativeBinding } from '../binding';
import { renewRandomness } from '../internal/randomness';
import { endWorkers } from '../internal/workers';
import { dropPendingWarning } from './multi-threaded';

/** Child: once, before anything else. */
export function beginChild(): void {
  dropPendingWarning();
  enterChild(nativeBinding(), unref);
}

let rehearsedIn = 0;

/** Parent, once: V8 compiles a function when it is called, and else each child would have to: a third of a millisecond. */
export function rehearseChild(): void {
  if (rehearsedIn === process.pid) return;
  rehearsedIn = process.pid;
  enterChild({ ...nativeBinding(), reseedOpenssl: () => 0 }, () => undefined);
}

/** `forget` is for each program that the parent started. */
function enterChild(native: NativeBinding, forget: (program: ChildProcess) => void): void {
  const workers = native.hasWorkersToEnd();
  try {
    const value = native.getpid();
    Object.defineProperty(process, 'pid', { value, writable: false, enumerable: true, configurable: true });
    // They are held until they have been told: none runs a line of its own code here.
    if (workers) endWorkers(native);
    activeHandles().filter(isChildProcess).forEach(forget);
  } finally {
    if (workers) native.releaseWorkers();
    renewRandomness(native);
  }
}

/** Whether they have ended, only their parent hears: a child that waited for that would never end. */
function unref(program: ChildProcess): void {
  program.unref();
}

function activeHandles(): object[] {
  return (process as unknown as { _getActiveHandles(): object[] })._getActiveHandles();
}

/** By its name: to ask `instanceof` would load node:child_process into every process that may fork. */
function isChildProcess(handle: object): handle is ChildProcess {
  return handle.constructor.name === 'ChildProcess';
}

/** What is left to be done in JavaScript in a forked child, before its own code goes on. */
import { type NativeBinding, nativeBinding } from '../binding';
import { giveUpHandles } from '../internal/inherited-handles';
import { instancesOf } from '../internal/heap-instances';
import { renewRandomness } from '../internal/randomness';
import { areReportsNamed, renameReports } from '../internal/reports';
import { throwLater } from '../internal/throw-later';
import { endWorkers } from '../internal/workers';
import { type Inherited, inheritedBy } from './inherit';
import { dropPendingWarning } from './multi-threaded';

/** Child: once, before anything else. */
export function beginChild(inherited: Inherited): void {
  dropPendingWarning();
  enterChild(nativeBinding(), inherited);
  attempt(renameReports);
}

let rehearsedIn = 0;

/** Parent, once: V8 compiles a function when it is called, and else each child would have to: a third of a millisecond. */
export function rehearseChild(): void {
  if (rehearsedIn === process.pid) return;
  rehearsedIn = process.pid;
  areReportsNamed();
  dropPendingWarning(); // before its first fork a process has none
  // The channel to this process's parent is the one thing here that is reached through `process`.
  enterChild(nothingInherited(), inheritedBy({ ipc: true }));
}

/** The native side of a child that has inherited nothing. */
function nothingInherited(): NativeBinding {
  return {
    ...nativeBinding(),
    reseedOpenssl: () => 0,
    withHandlesReferenced: (list) => list().slice(0, 0),
    giveUpFds: () => 0,
  };
}

function enterChild(native: NativeBinding, inherited: Inherited): void {
  const workers = native.hasWorkersToEnd();
  try {
    const value = native.getpid();
    Object.defineProperty(process, 'pid', { value, writable: false, enumerable: true, configurable: true });
    // They are held until they have been told: none runs a line of its own code here.
    if (workers) endWorkers(native);
  } finally {
    if (workers) native.releaseWorkers();
    renewRandomness(native);
  }
  attempt(() => {
    giveUpHandles(native, inherited);
  });
  if (!inherited.timers) attempt(clearTimers);
  if (!inherited.exitListeners) process.removeAllListeners('exit');
}

/** Much here is the program's to replace. fork() must not throw in the child: a catch block would run in both processes. */
function attempt(step: () => void): void {
  try {
    step();
  } catch (error) {
    throwLater(error);
  }
}

/** Node keeps no list of them that could be reached. */
function clearTimers(): void {
  const timeout = setTimeout(() => undefined, 0);
  const immediate = setImmediate(() => undefined);
  instancesOf(timeout.constructor)?.forEach((each) => {
    clearTimeout(each as NodeJS.Timeout);
  });
  instancesOf(immediate.constructor)?.forEach((each) => {
    clearImmediate(each as NodeJS.Immediate);
  });
}

/** What is left to be done in JavaScript in a forked child, before its own code goes on. */
import type { NativeBinding } from '../binding';
import { dropQueries } from '../internal/dns-queries';
import { instancesOf } from '../internal/heap-instances';
import { disownDatabases } from '../internal/inherited-databases';
import { giveUpHandles } from '../internal/inherited-handles';
import { forgetParentsWaits } from '../internal/parents-waits';
import { renewRandomness } from '../internal/randomness';
import { hasReports, renameReports } from '../internal/reports';
import { throwLater } from '../internal/throw-later';
import { endWorkers } from '../internal/workers';
import { refusal } from './fork-support';
import type { Inherited } from './inherit';
import { forgetWarnings } from './multi-threaded';

/**
 * Child: once, before anything else. A rehearsal, in the parent, goes the same way and changes nothing, all being kept:
 * what V8 makes of a function when it is called, a child would else have to make anew.
 */
export function beginChild(native: NativeBinding, inherited: Inherited, isRehearsal: boolean): void {
  if (!isRehearsal) {
    attempt(forgetWarnings);
    native.lockWaits.forgetAll();
    attempt(forgetParentsWaits);
  }
  const workers = native.hasWorkersToEnd();
  try {
    setPid(native, isRehearsal);
    // They are held until they have been told: none runs a line of its own code here.
    if (workers) endWorkers(native);
  } finally {
    if (workers) native.releaseWorkers();
    renewRandomness(native);
  }
  try {
    giveUpHandles(native, inherited, isRehearsal);
  } catch (error) {
    if (!isRehearsal) throwLater(error);
  }
  if (!isRehearsal) attempt(dropQueries);
  if (!isRehearsal) attempt(disownDatabases);
  if (!inherited.timers) attempt(clearTimers);
  if (!inherited.exitListeners) attempt(() => process.removeAllListeners('exit'));
  if (hasReports() && !isRehearsal) attempt(renameReports);
}

/** A frozen `process` keeps its pid: in a rehearsal that is a refusal. */
function setPid(native: NativeBinding, isRehearsal: boolean): void {
  if (isRehearsal && Object.getOwnPropertyDescriptor(process, 'pid')?.configurable === false) {
    throw refusal('ERR_ATFORK_UNSUPPORTED', 'process.pid cannot be changed');
  }
  const value = native.getpid();
  const target = isRehearsal ? {} : process;
  attempt(() => Object.defineProperty(target, 'pid', { value, writable: false, enumerable: true, configurable: true }));
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

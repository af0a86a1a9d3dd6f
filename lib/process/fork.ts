import { nativeBinding } from '../binding';
import { ForkError, fromNative } from '../errors';
import { finishReadingCertificates } from '../internal/certificates';
import { isFailure, unwrap } from '../internal/native-result';
import { prepareRandomness } from '../internal/randomness';
import { runBeforeHooks } from './at-fork';
import { type ForkOptions, forkRequest } from './fork-options';
import { forkRefusal, refusal } from './fork-support';
import { beginChild, rehearseChild } from './forked-child';
import { multiThreaded, warnOfLostThreads } from './multi-threaded';

let forking = false;

/**
 * fork(2): the child goes on from this call, on a copy of this process's memory, as a complete Node process.
 *
 * @returns 0 in the child, the child's pid in the parent.
 * @throws ForkError when there is no child: its `code` says why, and every lock is as before.
 * @throws TypeError, RangeError for bad options.
 */
export function fork(options: ForkOptions = {}): number {
  const request = forkRequest(options);
  const refused = refusalNow();
  if (refused !== null) throw refused;

  const { lockTimeout, quiesceTimeout, copySharedMappings, pendingWork, lostThreads } = request;
  const native = nativeBinding();
  forking = true;
  try {
    finishReadingCertificates();
    prepareRandomness();
    rehearseChild();
    const runAfterHooks = runBeforeHooks(request.beforeErrors, request.onHookError);
    const forked = native.fork(
      lockTimeout,
      quiesceTimeout,
      copySharedMappings,
      pendingWork,
      lostThreads.bits,
      lostThreads.allowed,
    );
    if (forked === 0) beginChild(request.inherited);
    runAfterHooks(forked === 0 ? 'child' : 'parent');
    if (isFailure(forked) && forked.code === 'ERR_ATFORK_MULTITHREADED') throw multiThreaded(native);
    const pid = unwrap(ForkError, forked);
    if (pid !== 0 && lostThreads.bits !== 0) warnOfLostThreads(native, fork);
    return pid;
  } finally {
    forking = false;
  }
}

/** Why there can be no fork at this moment; null where there can. */
function refusalNow(): ForkError | null {
  const refused = forkRefusal();
  if (refused !== null) return refused;
  if (forking) return refusal('ERR_ATFORK_REENTRANT');
  if (isExiting()) return refusal('ERR_ATFORK_TEARDOWN');
  const prevented = nativeBinding().checkForkPermit();
  return prevented === null ? null : fromNative(ForkError, prevented);
}

/** From the moment that 'exit' is emitted: as in CPython, what is being taken down is not forked. */
function isExiting(): boolean {
  return (process as unknown as { _exiting?: boolean })._exiting === true;
}

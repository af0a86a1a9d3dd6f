import { isMainThread } from 'node:worker_threads';

import { isUnavailable, loadBinding, nativeBinding } from '../binding';
import { ForkError, codes, fromNative } from '../errors';
import type { NativeForkOutcome } from '../internal/native-fork';
import { unwrap } from '../internal/native-result';
import { validateObject, validateTimeout } from '../internal/validate';
import { liveWorkers, watchWorkers } from '../internal/workers';

export interface ForkOptions {
  /** Milliseconds to wait for the holder of `globalLock`; Infinity must be asked for. Default 10,000. */
  lockTimeout?: number;
  /** Milliseconds to wait until every other thread stands where a fork can be survived. Default 1,000. */
  quiesceTimeout?: number;
}

/** Why fork() cannot be offered here; null when it can. Looked at once, when this module is loaded. */
const unsupported = prepare();

function prepare(): ForkError | null {
  const binding = loadBinding();
  if (isUnavailable(binding)) return null; // nativeBinding() will say why
  const reason = binding.loadFork(isMainThread);
  if (reason !== null) return fromNative(ForkError, reason);
  if (isMainThread)
    watchWorkers(() => {
      binding.learnWorkerRoutine();
    });
  return null;
}

/**
 * fork(2): the child goes on from this call, on a copy of this process's memory, as a complete Node process.
 *
 * @returns 0 in the child, the child's pid in the parent.
 * @throws ForkError when there is no child: its `code` says why, and every lock is as before.
 * @throws TypeError, RangeError for bad options.
 */
export function fork(options: ForkOptions = {}): number {
  validateObject(options, 'options');
  const { lockTimeout = 10_000, quiesceTimeout = 1_000 } = options;
  validateTimeout(lockTimeout, 'options.lockTimeout');
  validateTimeout(quiesceTimeout, 'options.quiesceTimeout');
  if (!isMainThread) throw refusal('ERR_ATFORK_IN_WORKER');
  if (unsupported !== null) throw unsupported;

  const outcome = unwrap(ForkError, nativeBinding().fork(lockTimeout, quiesceTimeout));
  if (outcome.pid === 0) enterChild(outcome);
  return outcome.pid;
}

function refusal(code: keyof typeof codes): ForkError {
  return new ForkError(`${code}: ${codes[code]}`, { code });
}

let watchesExit = false;

/** What is left to be done in JavaScript before the child's own code goes on. */
function enterChild({ self, workers, terminal }: NativeForkOutcome): void {
  const native = nativeBinding();
  Object.defineProperty(process, 'pid', { value: self, writable: false, enumerable: true, configurable: true });
  if (terminal && !watchesExit) {
    watchesExit = true; // and a child of this child inherits the listener
    process.prependListener('exit', () => {
      native.stdioEnds();
    });
  }
  if (workers === 0) return;
  // They are held until they have been told: none runs a line of its own code here.
  for (const worker of liveWorkers()) void worker.terminate();
  native.releaseWorkers();
}

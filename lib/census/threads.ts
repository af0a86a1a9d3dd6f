import { nativeBinding } from '../binding';
import { AtforkError } from '../errors';
import { unwrap } from '../internal/native-result';

/** What a thread is for. `runtime`: started by Node's own code, nothing more is known. `foreign`: by anything else. */
export type ThreadKind =
  'main' | 'v8-worker' | 'delayed-task' | 'libuv-pool' | 'js-worker' | 'inspector' | 'runtime' | 'foreign';

/**
 * What becomes of a thread in a forked child: `kept` is the one that forks, `revived` goes on where it stood, `restarted`
 * begins anew, `ended` is brought back only to give up what it holds, `lost` is not there.
 */
export type ThreadAfterFork = 'kept' | 'revived' | 'restarted' | 'ended' | 'lost';

/** One thread of this process, as the kernel and libc know it. */
export interface ThreadInfo {
  /** The kernel's thread id; the main thread's is `process.pid`. */
  readonly tid: number;
  /** At most 15 bytes. A thread that was given none has its creator's. */
  readonly name: string;
  readonly kind: ThreadKind;
  /**
   * File name of the shared object (or the program) that holds the function the thread was started with; null where
   * libc does not tell. A `std::thread` starts in `libstdc++.so.6`.
   */
  readonly module: string | null;
  readonly afterFork: ThreadAfterFork;
}

/**
 * All threads of this process, from /proc/self/task. A thread that starts or ends meanwhile may be missing.
 *
 * @throws AtforkError ENOENT, EACCES where /proc cannot be read.
 */
export function threads(): ThreadInfo[] {
  return unwrap(AtforkError, nativeBinding().threads()) as ThreadInfo[];
}

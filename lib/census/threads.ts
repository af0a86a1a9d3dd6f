import { nativeBinding } from '../binding';
import { AtforkError } from '../errors';
import { unwrap } from '../internal/native-result';

/** The values of `ThreadKind`. */
export const threadKinds = [
  ...(['main', 'v8-worker', 'delayed-task', 'libuv-pool', 'js-worker', 'inspector'] as const),
  ...(['runtime', 'foreign'] as const),
] as const;

/**
 * What a thread is for. `runtime`: started by Node's own code for something else (root certificates, a vm's timeout), or it
 * is not known for what, as in a Node that was stripped of its symbols; or by the kernel itself, for io_uring(7).
 * `foreign`: by anything else.
 */
export type ThreadKind = (typeof threadKinds)[number];

/**
 * What becomes of a thread in a forked child: `kept` is the one that forks, `revived` goes on where it stood, `restarted`
 * begins anew, `lost` does not go on. A Worker that is lost comes along for as long as it takes to end.
 */
export type ThreadAfterFork = 'kept' | 'revived' | 'restarted' | 'lost';

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
 * @throws AtforkError with the error of open(2), ENOENT say, where /proc cannot be read: how many there are is not known then.
 */
export function threads(): ThreadInfo[] {
  return unwrap(AtforkError, nativeBinding().threads()) as ThreadInfo[];
}

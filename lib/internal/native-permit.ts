/** What native/binding/permit_binding.cc offers to JavaScript: holding off forks, from any thread. Types only. */
import type { NativeErrorInfo } from '../errors';

export interface NativePermit {
  /**
   * From here on this thread is in a section that no fork may fall into. They nest. False: it is about to be ended, since
   * it belongs to the parent of this process.
   */
  enterForkless(): boolean;
  leaveForkless(): void;
  markNotForkSafe(reason: string): void;
  /** Why fork() would refuse now; null when it would not. */
  checkForkPermit(): NativeErrorInfo | null;
}

/** The public interface: explicit re-exports, no logic. */
export {
  AtforkError,
  DeadlockError,
  ExecError,
  ForkError,
  LockTimeoutError,
  NotOwnerError,
  NotRecoverableError,
  OutputError,
  OwnerDiedError,
  WaitError,
} from './errors';
export type { AtforkCode } from './errors';

export { threads } from './census/threads';
export type { ThreadAfterFork, ThreadInfo, ThreadKind } from './census/threads';

export { globalLock } from './locks/global-lock';
export type { AcquireAsyncOptions, AcquireOptions, Lock, LockGuard, LockOwner } from './locks/lock';
export { namedLock, namedSemaphore } from './locks/named-lock';
export type { NamedLockOptions } from './locks/named-lock';
export type { Semaphore } from './locks/process-semaphore';
export { queryLocks } from './locks/query-locks';
export type { LockInfo, LockSnapshot } from './locks/query-locks';
export { SharedLock } from './locks/shared-lock';
export type { CreateSharedLockOptions, OpenSharedLockOptions } from './locks/shared-lock';
export { futexNotify, futexWait, sharedMemory } from './locks/shared-memory';

export { registerAtFork } from './process/at-fork';
export type { AtForkHooks, AtForkRegistration, AtForkSide, HookErrorHandler } from './process/at-fork';
export { capabilities } from './process/capabilities';
export type { Capabilities, Capability } from './process/capabilities';
export { capture } from './process/capture';
export type { CaptureOptions } from './process/capture';
export { ChildHandle, children } from './process/child-handle';
export type { ChildHandleEvents, ChildMessage, WaitOptions } from './process/child-handle';
export type { ChildResourceUsage } from './process/child-usage';
export type { ForkExecOptions, ResourceLimit, ResourceName, SignalOption } from './process/exec-options';
export type { StdioOption } from './process/exec-stdio';
export { execve } from './process/execve';
export { _exit } from './process/exit';
export { fork } from './process/fork';
export { forkExec } from './process/fork-exec';
export { forkExecSync } from './process/fork-exec-sync';
export type { ForkExecSyncOptions, SyncProgramOutput } from './process/fork-exec-sync';
export type { ForkOptions } from './process/fork-options';
export type { InheritOptions } from './process/inherit';
export type { LeftAtExit } from './process/left-at-exit';
export { markNotForkSafe, preventFork } from './process/prevent-fork';
export type { MultiThreadedOptions, ThreadPattern } from './process/multi-threaded';
export type { OutputOptions, ProgramOutput } from './process/program-output';
export { quiesce } from './process/quiesce';
export type { QuiesceOptions } from './process/quiesce';
export { waitpid } from './process/waitpid';
export type { WaitStatus, WaitpidOptions } from './process/waitpid';

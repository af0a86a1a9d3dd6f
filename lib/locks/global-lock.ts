import { nativeBinding } from '../binding';
import type { Lock } from './lock';
import { ProcessLock } from './process-lock';

/**
 * The lock of this process: recursive, owned by a thread, shared by the main thread and every Worker, and by every copy
 * of this package in the process. `fork()` takes it first, so no child is made while another thread works under it. In
 * the child it is free, or held as deep as the forking thread held it.
 *
 * A fork that is not made by this library (`child_process.spawn` is one) waits for it for at most a millisecond; a
 * child of such a fork that still runs code of this process finds it orphaned if another thread held it.
 *
 * Its methods throw ForkError ERR_ATFORK_UNSUPPORTED where there is no native addon, and ERR_ATFORK_DUPLICATE beside an
 * incompatible copy of this package.
 */
export const globalLock: Lock = new ProcessLock('global lock', nativeBinding, (native) => native.globalLock);

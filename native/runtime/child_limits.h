// child_limits.h - may a child still start its threads, and open what its event loops need?
//
// fork(2) starts one task, the child as many more as it has threads to bring back, and the kernel may refuse it those
// (RLIMIT_NPROC, a pids cgroup, kernel.threads-max), or descriptors (RLIMIT_NOFILE), when fork() has long returned its
// pid. So where a limit is near, the parent waits until the child says that it is complete (Completion); where none is,
// it need not.
#ifndef ATFORK_RUNTIME_CHILD_LIMITS_H_
#define ATFORK_RUNTIME_CHILD_LIMITS_H_

#include <sys/types.h>

#include "posix/result.h"

namespace atfork::runtime {

// How many threads libuv's pool has, or is going to have (UV_THREADPOOL_SIZE).
int PoolSize();

// Whether `count` more threads can be started now: starts them, and ends them. 0 or an errno.
int ProbeThreads(int count);

// Learns which limits there are. Once, main thread, at load.
void LoadChildLimits();

// Parent: whether `count` more tasks might reach a limit. When in doubt, true.
bool MayReachTaskLimit(int count);

// The same of the few descriptors that a child opens before its JavaScript goes on.
bool MayReachFdLimit();

// What the child tells the parent, in memory that both share for as long as it takes. One fork at a time.
// Parent, before the fork.
Status ExpectCompletion();
// Either side: whether that was called; and the end of it.
bool ExpectsCompletion();
void ForgetCompletion();
// Child: 0 when it is complete, else the errno of what it could not have. Whether the parent still listens.
bool TellCompletion(int error);
// Parent: waits for the child's word, or its end, or ten seconds: a child that has been stopped says nothing. 0, or
// that errno: the child has ended then, and was reaped.
int AwaitCompletion(pid_t child);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_CHILD_LIMITS_H_

// runtime_threads.h - brings the runtime's threads over a fork.
//
// A forked process has one thread. A Node process cannot live with one: V8's workers, the delayed-task thread and the
// inspector's are joined at exit, waited for by the garbage collector, and hold locks in the middle of their work. So
// they are parked before the fork and brought back in the child, in the state they were in (docs/design.md).
//
//   what                              before the fork        in the child
//   V8 workers, delayed tasks, ...    parked anywhere safe   brought back, go on
//   JavaScript Workers                parked anywhere safe   brought back, confined, ended
//   libuv's pool                      at rest (pool_rest.h)  a new pool
//   threads of other libraries        -                      lost
#ifndef ATFORK_RUNTIME_RUNTIME_THREADS_H_
#define ATFORK_RUNTIME_RUNTIME_THREADS_H_

#include <cstdint>

#include "posix/result.h"
#include "runtime/quiesce.h"

namespace atfork::runtime {

// Checks every assumption. Main thread, once, at load.
Status LoadRuntimeThreads();

struct ParkedCounts {
  int all;
  int workers;
  int pool;  // libuv's threads that wait in a system call
};

// Quiesces (quiesce.h) and saves what the child will need. On an error nothing has changed. Main thread. The parent
// ends it by Unquiesce.
Result<ParkedCounts> ParkRuntimeThreads(const QuiesceTerms& terms);

// Child, first of all: restores libc's view of the threads. False when the child must not be used; see libc_threads.h.
[[nodiscard]] bool RestoreRuntimeThreads();
// Child: starts them again; JavaScript Workers apart, and those stay held. All signals must be blocked. 0, or the errno
// of the first that could not be started.
int RestartRuntimeThreads();
int RestartWorkers();
// Child: whether Workers have come along and have not been released. They may be running already: see hold.h.
bool HasWorkersToEnd();
// Child: lets the Workers that the main thread started go, to end. The others follow, see hold.h.
void ReleaseHeldWorkers();

// Child: waits, not for long, until those that go on have told the kernel their names and libc's struct. Any thread.
void AwaitRestartedThreads();

// Whether this process has threads that were brought back: libc cannot signal those.
bool HasRestartedThreads();
// Runs `task` in the signal handler of each of them, and waits: false when one did not answer. Main thread.
bool RunOnRestartedThreads(void (*task)(void*), void* argument);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_RUNTIME_THREADS_H_

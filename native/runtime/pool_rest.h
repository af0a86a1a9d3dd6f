// pool_rest.h - libuv's thread pool stands still over a fork.
//
// At the fork no thread of the pool may hold a lock of anybody, and no work may be on its way to them. They need not be
// stopped for that: with the pool's mutex held by the forking thread, one that waits for work goes on waiting, and
// where each of them waits the kernel tells (proc(5), /proc/self/task/TID/syscall).
//
//   a pool thread               before the fork                in the child
//   waits for work              held to it by the mutex        lost
//   waits in a system call      parked                         comes back confined: the call fails, the request is
//                                                              answered with that error, the thread ends
//   does anything else          is waited for
//
// The child's libuv builds a pool of its own (event_loop.h).
#ifndef ATFORK_RUNTIME_POOL_REST_H_
#define ATFORK_RUNTIME_POOL_REST_H_

#include <pthread.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "posix/result.h"

namespace atfork::runtime {

// Begins to watch where the pool's threads wait for work. Main thread, at load.
Status WatchPool();

// The mutex that guards libuv's queue of work.
void LearnPoolMutex(pthread_mutex_t* mutex);

// When the pool is at rest: when all of its threads wait, for work or for somebody outside the process; or only when
// they all wait for work.
enum class PoolRest { kWaiting, kNothingBegun };

// Whether it is. A look, no more: with nothing held, it may be different the next moment. `busy` receives what a thread
// does that does not rest.
bool IsPoolAtRest(PoolRest rest, std::string* busy);

// The same, for good: on true the pool's mutex is held until ReleasePool. Main thread.
bool HoldPool(PoolRest rest, std::string* busy);

// Those that were seen in a system call by the one or the other.
const std::vector<pid_t>& PoolThreadsInCalls();

// Parent and child.
void ReleasePool();

// Child, when no other thread uses the pool. Those of the parent's no longer wait for work: false when that cannot be
// told to libuv, which must then build its new pool before it ends.
bool ForgetPoolWaiters();

// Child, before any other thread runs: this thread of the pool ends where it would wait for work again.
struct EndingPoolThread {
  uintptr_t descriptor;
  const int* cleared_tid;  // 0 once it has ended
};
void EndPoolThread(const EndingPoolThread& thread);
// Child: waits for them; false when one has not ended before `deadline`.
bool AwaitEndedPoolThreads(int64_t deadline);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_POOL_REST_H_

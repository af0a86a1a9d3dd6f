// pool_rest.h - libuv's thread pool stands still over a fork.
//
// The pool's threads are not brought back in the child (libuv's own fork handler makes a new pool), so at the fork none
// of them may hold a lock of anybody, and no work may be on its way to them. They need not be stopped for that: with
// the pool's mutex held by the forking thread, one that waits for work goes on waiting, and where each of them waits
// the kernel tells (proc(5), /proc/self/task/TID/syscall).
#ifndef ATFORK_RUNTIME_POOL_REST_H_
#define ATFORK_RUNTIME_POOL_REST_H_

#include <pthread.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "runtime/park_position.h"

namespace atfork::runtime {

// The mutex that guards libuv's queue of work.
void LearnPoolMutex(pthread_mutex_t* mutex);

struct Pool {
  std::vector<pid_t> threads;
  const LoadedModules* modules;
  // A request that a thread waits for in a system call is never answered in the child. One of the main thread's does no
  // harm there before its loop runs dry; but a Worker with one could not be ended.
  bool may_wait_outside;
  // Asks a thread itself, where proc(5) does not tell: after setuid(2) the process's own files there are root's. False
  // when it is gone or does not answer.
  bool (*ask)(pid_t tid, SystemCall* call);
};

// Whether all of its threads wait, for work or for somebody outside the process. A look, no more: with nothing held, it
// may be different the next moment. `busy` receives what one of them does that does not.
bool PoolWaits(const Pool& pool, std::string* busy);

// The same, for good: on true the pool's mutex is held until ReleasePool. Main thread.
bool HoldPool(const Pool& pool, std::string* busy);

// Parent only: the child's libuv makes the mutex anew.
void ReleasePool();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_POOL_REST_H_

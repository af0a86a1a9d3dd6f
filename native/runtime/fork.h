// fork.h - the whole of a fork, in order.
#ifndef ATFORK_RUNTIME_FORK_H_
#define ATFORK_RUNTIME_FORK_H_

#include <sys/types.h>
#include <uv.h>

#include <string>

#include "posix/result.h"
#include "runtime/lost_threads.h"

namespace atfork::runtime {

// Checks, once, whether fork() can be offered here, and begins to watch what it needs. Main thread, at load.
// The reason why not stays available.
Status LoadFork();

// What is done about requests to libuv's pool that have not been delivered (pending_work.h). kWait: for those that are
// in a thread's hands, while fork() lasts; it waits for all others anyway.
enum class PendingWork { kIgnore, kRefuse, kWait };

struct ForkOptions {
  double lock_timeout_ms;
  double quiesce_timeout_ms;
  bool copy_shared_mappings;  // with Workers: rather than refuse; see shared_mappings.h
  PendingWork pending_work;
  LostThreadsOptions lost_threads;
};

// How long the parts of the last fork took in the parent, in microseconds.
struct ForkTimings {
  double lock;     // until the global lock was held
  double quiesce;  // until every other thread stood still
  double fork;     // from then until fork(2) had returned
  double release;  // from then until the others went on and the marks of V8's memory were back
};
ForkTimings LastForkTimings();

// What a thread of libuv's pool is doing now; empty when none of them is inside a request. Main thread.
Result<std::string> PoolWork();

// The child's pid, in the child 0. An error means that there is no child and that everything is as before. Main thread.
Result<pid_t> Fork(uv_loop_t* loop, const ForkOptions& options);

// The calling process's. Node's process.pid is its parent's until the child's JavaScript has begun.
pid_t OwnPid();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_FORK_H_

// worker_waits.h - in a child, a Worker that was starting a program does not wait for it.
//
// uv_spawn(3) asserts that it can reap a program that could not be executed. In a forked child that program is the
// parent's. The Worker, whose waitpid(2) is refused (child/confine.h), is told that it has ended.
#ifndef ATFORK_RUNTIME_WORKER_WAITS_H_
#define ATFORK_RUNTIME_WORKER_WAITS_H_

#include "posix/result.h"

namespace atfork::runtime {

// Main thread, once, at load.
Status WatchWaits();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_WORKER_WAITS_H_

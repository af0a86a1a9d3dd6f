// pending_work.h - what a loop has asked libuv's pool for belongs to the process that has asked.
//
// A fork copies the requests that are in flight, and those that are finished and not delivered yet. The parent's are
// the only ones: the child takes what there is on its main loop away, so that nobody there hears of it, nothing is done
// a second time, and it does not keep the child alive.
//
// Node counts such requests itself, and when it takes its environment down (a natural exit) it turns the loop until
// each has been answered. They are given back then, when no JavaScript runs any more.
#ifndef ATFORK_RUNTIME_PENDING_WORK_H_
#define ATFORK_RUNTIME_PENDING_WORK_H_

#include <uv.h>

#include "posix/result.h"

namespace atfork::runtime {

// Parent, before each fork: what tells the end of the environment. Refused when it is not there.
Status LearnEnvironment(uv_loop_t* loop);

// Requests of this loop's to the pool that have not been delivered. On its thread.
unsigned PendingRequests(uv_loop_t* loop);

// Child, the pool's mutex held, before any other thread runs: what has not been begun.
void WithholdQueuedRequests(uv_loop_t* loop);

// Child, when no thread of the parent's pool is left: the rest, but for what uv_fs_poll_t has asked for itself.
void WithholdFinishedRequests(uv_loop_t* loop);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_PENDING_WORK_H_

// event_loop.h - what libuv needs around a fork: the main loop's kernel state, and the thread pool.
#ifndef ATFORK_RUNTIME_EVENT_LOOP_H_
#define ATFORK_RUNTIME_EVENT_LOOP_H_

#include <uv.h>

#include <cstdint>

#include "posix/result.h"

namespace atfork::runtime {

// Parent: learns which threads are the pool's, from inside one work item on a loop of our own (the main loop is not
// kept alive by it). Starts the pool if nobody has yet. Refused when no pool thread gets to it before `deadline`.
Status LearnPool(int64_t deadline);

// Whether a thread is inside uv_async_send(3) on this loop. Such a one cannot be parked: uv_loop_fork(3) counts it out,
// and with it once more when it goes on, uv_close(3) would wait for ever. Parent, on the loop's thread.
bool IsBeingWoken(uv_loop_t* loop);

// Child, before any other thread runs: gives the main loop a kernel state of its own (uv_loop_fork(3)). Wake-ups that
// were under way are sent again, signals that were are forgotten. Returns 0 or a negative libuv error.
int RenewLoop(uv_loop_t* loop);

// Child, with the runtime's threads back: has libuv build its new pool now. At exit libuv would otherwise tear down the
// parent's: its condition variable still counts waiters that are gone. Returns 0 or a negative libuv error.
int RenewPool();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_EVENT_LOOP_H_

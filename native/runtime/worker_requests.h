// worker_requests.h - in a child, what a Worker of the parent asks libuv's pool for, it does itself, confined.
//
// A Worker may have been parked on its way into uv_queue_work(3) or an asynchronous uv_fs_*: the forking thread holds
// the pool's mutex over the fork, so those who are busy with files wait for just that. In the child it goes on and
// hands its request to the new pool, whose threads nothing confines: the parent's pool and the child's would both do
// it.
//
// So when a confined thread releases the pool's mutex, and the last request in the queue is one of a loop of its own,
// it takes that out again, does the work itself and posts the result. What the filter stops (child/confine.h) fails
// with ECANCELED; what only computes is computed.
#ifndef ATFORK_RUNTIME_WORKER_REQUESTS_H_
#define ATFORK_RUNTIME_WORKER_REQUESTS_H_

#include "posix/result.h"

namespace atfork::runtime {

// Child that Workers come along to, before any other thread runs. Takes no lock.
Status WatchWorkerRequests();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_WORKER_REQUESTS_H_

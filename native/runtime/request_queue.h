// request_queue.h - the queue in which requests wait for a thread of libuv's pool.
#ifndef ATFORK_RUNTIME_REQUEST_QUEUE_H_
#define ATFORK_RUNTIME_REQUEST_QUEUE_H_

#include <pthread.h>
#include <uv.h>

#include <vector>

#include "posix/result.h"

namespace atfork::runtime {

// What follows `last`, which is the last request in the queue: the caller holds the pool's mutex.
const void* RequestQueueAfter(const uv_work_t& last);

// Parent, main thread, once: the pool's mutex, what was found above, and a request that was cancelled. Refused when
// they cannot be libuv's.
Status LearnRequestQueue(pthread_mutex_t* mutex, const void* head, const uv_work_t& cancelled);

// The mutex that guards the queue; null until it has been learnt.
pthread_mutex_t* RequestQueueMutex();

// The caller holds the mutex.
bool IsRequestQueueEmpty();

// The caller holds the mutex. The request that was queued last; null when that is none, but a message of libuv's own to
// its threads, or there is nothing.
struct uv__work* LastRequest();

// The caller holds the mutex. Takes out what `loop` has asked for and nobody has begun, but for what is slow (names
// that are looked up), which libuv keeps apart. Each is left as uv_cancel(3) would leave it, and in no queue.
std::vector<struct uv__work*> CancelRequestsOf(const uv_loop_t* loop);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_REQUEST_QUEUE_H_

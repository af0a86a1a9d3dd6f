// request_queue.cc - see request_queue.h.
// Runs in:  any thread that holds the pool's mutex; LearnRequestQueue on the main thread.
// Rests on: libuv src/threadpool.c, 1.x (read: 1.44 to 1.52).
//           - post() puts a request at the tail of the one queue, under the mutex.
//           - The queue is a ring around a static head. Slow requests (getaddrinfo, getnameinfo) wait in another; a
//             static message stands in this one for them.
#include "runtime/request_queue.h"

#include "runtime/import_table.h"
#include "runtime/libuv_queue.h"

namespace atfork::runtime {
namespace {

// Process-wide. Written by the main thread, at the first fork.
struct Queue {
  pthread_mutex_t* mutex = nullptr;
  QueueNode* head = nullptr;
  ModuleSpan runtime = {};
};
Queue queue;

}  // namespace

const void* RequestQueueAfter(const uv_work_t& last) { return AsQueueNode(&last.work_req.wq)->next; }

Status LearnRequestQueue(pthread_mutex_t* mutex, const void* head) {
  Result<ModuleSpan> runtime = FindRuntimeModule();
  if (!runtime) return runtime.error();
  if (!runtime.value().Contains(reinterpret_cast<uintptr_t>(head))) {
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "quiesce", "the queue of libuv's pool is not where it should be");
  }
  queue.runtime = runtime.value();
  queue.head = static_cast<QueueNode*>(const_cast<void*>(head));
  queue.mutex = mutex;
  return Unit{};
}

pthread_mutex_t* RequestQueueMutex() { return queue.mutex; }

bool IsRequestQueueEmpty() { return queue.head->next == queue.head; }

struct uv__work* LastRequest() {
  QueueNode* const last = queue.head->prev;
  // The head or a message of libuv's.
  return queue.runtime.Contains(reinterpret_cast<uintptr_t>(last)) ? nullptr : WorkOf(last);
}

}  // namespace atfork::runtime

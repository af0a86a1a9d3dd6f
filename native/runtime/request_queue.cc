// request_queue.cc - see request_queue.h.
// Runs in:  any thread that holds the pool's mutex; LearnRequestQueue on the main thread.
// Rests on: libuv src/threadpool.c, 1.x (read: 1.44 to 1.52).
//           - post() puts a request at the tail of the one queue, under the mutex.
//           - The queue is a ring around a static head. Slow requests (getaddrinfo, getnameinfo) wait in another; a
//             static message stands in this one for them.
//           - uv_cancel stores a static function's address as the request's work, by which the loop knows it again.
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
  void (*cancelled)(struct uv__work*) = nullptr;
};
Queue queue;

Status NotThere(const char* what) {
  return Error::Refused("ERR_ATFORK_UNSUPPORTED", "quiesce", std::string(what) + " is not where it should be");
}

// The head or a message of libuv's.
bool IsStatic(const QueueNode* node) { return queue.runtime.Contains(reinterpret_cast<uintptr_t>(node)); }

}  // namespace

const void* RequestQueueAfter(const uv_work_t& last) { return AsQueueNode(&last.work_req.wq)->next; }

Status LearnRequestQueue(pthread_mutex_t* mutex, const void* head, const uv_work_t& cancelled) {
  Result<ModuleSpan> runtime = FindRuntimeModule();
  if (!runtime) return runtime.error();
  const auto is_inside = [&runtime](auto* address) {
    return runtime.value().Contains(reinterpret_cast<uintptr_t>(address));
  };
  if (!is_inside(head)) return NotThere("the queue of libuv's pool");
  if (!is_inside(cancelled.work_req.work)) return NotThere("libuv's mark of a cancelled request");
  queue.runtime = runtime.value();
  queue.head = static_cast<QueueNode*>(const_cast<void*>(head));
  queue.cancelled = cancelled.work_req.work;
  queue.mutex = mutex;
  return Unit{};
}

pthread_mutex_t* RequestQueueMutex() { return queue.mutex; }

bool IsRequestQueueEmpty() { return queue.head->next == queue.head; }

struct uv__work* LastRequest() {
  QueueNode* const last = queue.head->prev;
  return IsStatic(last) ? nullptr : WorkOf(last);
}

std::vector<struct uv__work*> CancelRequestsOf(const uv_loop_t* loop) {
  std::vector<struct uv__work*> taken;
  for (QueueNode* node = queue.head->next; node != queue.head;) {
    QueueNode* const next = node->next;
    if (!IsStatic(node) && WorkOf(node)->loop == loop) {
      taken.push_back(WorkOf(node));
      taken.back()->work = queue.cancelled;
      Remove(node);
    }
    node = next;
  }
  return taken;
}

}  // namespace atfork::runtime

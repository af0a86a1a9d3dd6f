// worker_requests.cc - see worker_requests.h.
// Runs in:  the child, any thread of the runtime that unlocks a mutex; the rest on the main thread.
// Calls:    uv_async_send(3), pthread_mutex_unlock(3); a request's work.
// Locks:    the pool's mutex is held where the queue is looked at, and `runtime/loop_fds` taken under it. A request is
//           done with neither, and posted under its loop's own mutex, as libuv's worker() does.
// Rests on: libuv src/threadpool.c, 1.x (read: 1.44 to 1.52).
//           - post() puts a request at the tail of the one queue, under the mutex, and does nothing else there but
//             wake a thread of the pool. One that finds the queue empty goes on waiting.
//           - The queue is a ring of {next, prev} around a static head. Slow requests (getaddrinfo, getnameinfo) wait
//             in another; a static message stands in this one for them. It is left there: a name may be looked up
//             twice.
//           - struct uv__work {work, done, loop, wq} is in the public uv/threadpool.h; its `wq` was void*[2] and is
//             {next, prev}, as uv_loop_t's is. Taken out, it points at itself; with `work` null, it has been done.
//           - uv_cancel and slow requests unlock the mutex with somebody else's request at the tail, a loop of another
//             thread's: those are left alone.
//           A loop belongs to the thread that made its epoll set. An older one than this addon is a Worker's that was
//           there first: it takes such a request for its own.
#include "runtime/worker_requests.h"

#include <errno.h>

#include <cstddef>
#include <cstring>

#include "child/confine.h"
#include "runtime/import_table.h"
#include "runtime/loop_fds.h"

namespace atfork::runtime {
namespace {

struct Node {
  Node* next;
  Node* prev;
};
static_assert(sizeof(uv__work::wq) == sizeof(Node) && sizeof(uv_loop_t::wq) == sizeof(Node), "libuv's queues differ");

// Process-wide. Written by the main thread, at the first fork.
struct Queue {
  pthread_mutex_t* mutex = nullptr;
  Node* head = nullptr;
  ModuleSpan runtime = {};
  int (*unlock)(pthread_mutex_t*) = pthread_mutex_unlock;
};
Queue queue;

Node* AsNode(void* libuv_s) { return static_cast<Node*>(libuv_s); }

void InsertLast(Node* head, Node* node) {
  node->next = head;
  node->prev = head->prev;
  node->prev->next = node;
  head->prev = node;
}

void Remove(Node* node) {
  node->prev->next = node->next;
  node->next->prev = node->prev;
  node->next = node->prev = node;
}

// The pool's mutex is held. The request that this thread has just queued, if it is confined.
struct uv__work* TakeOwnRequest() {
  Node* const last = queue.head->prev;
  // The head or a message of libuv's.
  if (queue.runtime.Contains(reinterpret_cast<uintptr_t>(last))) return nullptr;
  auto* work = reinterpret_cast<struct uv__work*>(reinterpret_cast<char*>(last) - offsetof(struct uv__work, wq));
  if (!MayHaveMadeLoop(pthread_self(), uv_backend_fd(work->loop)) || !child::IsConfined()) return nullptr;
  Remove(last);
  return work;
}

void Do(struct uv__work* work) {
  work->work(work);
  uv_loop_t* const loop = work->loop;
  uv_mutex_lock(&loop->wq_mutex);
  work->work = nullptr;
  InsertLast(AsNode(&loop->wq), AsNode(&work->wq));
  uv_async_send(&loop->wq_async);
  uv_mutex_unlock(&loop->wq_mutex);
}

int WatchedMutexUnlock(pthread_mutex_t* mutex) {
  if (mutex != queue.mutex) return queue.unlock(mutex);
  const int caller_s_errno = errno;
  struct uv__work* const work = TakeOwnRequest();
  const int result = queue.unlock(mutex);
  if (work != nullptr) Do(work);
  errno = caller_s_errno;
  return result;
}

}  // namespace

const void* RequestQueueAfter(const uv_work_t& last) {
  const void* next;
  std::memcpy(&next, &last.work_req.wq, sizeof next);
  return next;
}

Status LearnRequestQueue(pthread_mutex_t* mutex, const void* head) {
  Result<ModuleSpan> runtime = FindRuntimeModule();
  if (!runtime) return runtime.error();
  if (!runtime.value().Contains(reinterpret_cast<uintptr_t>(head))) {
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "quiesce", "the queue of libuv's pool is not where it should be");
  }
  queue.runtime = runtime.value();
  queue.head = static_cast<Node*>(const_cast<void*>(head));
  queue.mutex = mutex;
  return Unit{};
}

Status WatchWorkerRequests() {
  return ReplaceImport("pthread_mutex_unlock", reinterpret_cast<void*>(WatchedMutexUnlock),
                       reinterpret_cast<void**>(&queue.unlock));
}

}  // namespace atfork::runtime

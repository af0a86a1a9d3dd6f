// worker_requests.cc - see worker_requests.h.
// Runs in:  the child, any thread of the runtime that unlocks a mutex; the rest on the main thread.
// Calls:    uv_async_send(3), pthread_mutex_unlock(3); a request's work.
// Locks:    the pool's mutex is held where the queue is looked at, and `runtime/loop_fds` taken under it. A request is
//           done with neither, and posted under its loop's own mutex, as libuv's worker() does.
// Rests on: libuv src/threadpool.c, 1.x (read: 1.44 to 1.52).
//           - post() puts a request at the tail of the one queue, under the mutex, and does nothing else there but
//             wake a thread of the pool. One that finds the queue empty goes on waiting.
//           - A slow request (getaddrinfo, getnameinfo) waits in another queue, and is left there: a name may be looked
//             up twice.
//           - uv_cancel and slow requests unlock the mutex with somebody else's request at the tail, a loop of another
//             thread's: those are left alone.
//           - A request that has been done has no `work`.
//           A loop belongs to the thread that made its epoll set. An older one than this addon is a Worker's that was
//           there first: it takes such a request for its own.
#include "runtime/worker_requests.h"

#include <errno.h>
#include <pthread.h>
#include <uv.h>

#include "child/confine.h"
#include "runtime/import_table.h"
#include "runtime/libuv_queue.h"
#include "runtime/loop_fds.h"
#include "runtime/request_queue.h"

namespace atfork::runtime {
namespace {

int (*original_unlock)(pthread_mutex_t*) = pthread_mutex_unlock;

// The pool's mutex is held. The request that this thread has just queued, if it is confined.
struct uv__work* TakeOwnRequest() {
  struct uv__work* const work = LastRequest();
  if (work == nullptr) return nullptr;
  if (!MayHaveMadeLoop(pthread_self(), uv_backend_fd(work->loop)) || !child::IsConfined()) return nullptr;
  Remove(AsQueueNode(&work->wq));
  return work;
}

void Do(struct uv__work* work) {
  work->work(work);
  uv_loop_t* const loop = work->loop;
  uv_mutex_lock(&loop->wq_mutex);
  work->work = nullptr;
  InsertLast(AsQueueNode(&loop->wq), AsQueueNode(&work->wq));
  uv_async_send(&loop->wq_async);
  uv_mutex_unlock(&loop->wq_mutex);
}

int WatchedMutexUnlock(pthread_mutex_t* mutex) {
  if (mutex != RequestQueueMutex()) return original_unlock(mutex);
  const int caller_s_errno = errno;
  struct uv__work* const work = TakeOwnRequest();
  const int result = original_unlock(mutex);
  if (work != nullptr) Do(work);
  errno = caller_s_errno;
  return result;
}

}  // namespace

Status WatchWorkerRequests() {
  return ReplaceImport("pthread_mutex_unlock", reinterpret_cast<void*>(WatchedMutexUnlock),
                       reinterpret_cast<void**>(&original_unlock));
}

}  // namespace atfork::runtime

// event_loop.cc - see event_loop.h.
// Runs in:  the main thread, parent and child. A work item runs on a pool thread.
// Calls:    libuv, on loops of our own but for uv_loop_fork(3) and uv_async_send(3).
// Rests on: libuv src/threadpool.c: its own child handler makes the next uv_queue_work start a new pool.
//           src/unix/linux.c, uv__io_poll: a watcher whose `events` are 0 is added to the epoll set, another modified.
#include "runtime/event_loop.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <iterator>
#include <vector>

#include "posix/futex.h"
#include "runtime/child_limits.h"
#include "runtime/import_table.h"
#include "runtime/loop_batch.h"
#include "runtime/pool_rest.h"
#include "runtime/request_queue.h"
#include "runtime/thread_roles.h"

namespace atfork::runtime {
namespace {

// A loop of our own with one work item on it that counts.
class PoolErrand {
 public:
  // 0 or a libuv error, as the next.
  int Open() {
    const int error = uv_loop_init(&loop_);
    if (error != 0) return error;
    started_ = true;
    request_.data = this;
    return uv_timer_init(&loop_, &timer_);
  }

  int Queue(uv_work_cb work) {
    return uv_queue_work(&loop_, &request_, work, [](uv_work_t* request, int) {
      auto* errand = static_cast<PoolErrand*>(request->data);
      errand->done_ = true;
      uv_stop(&errand->loop_);
    });
  }

  // What becomes of it, nobody hears.
  int QueueAnother(uv_work_t* request) {
    return uv_queue_work(
        &loop_, request, [](uv_work_t*) {}, [](uv_work_t*, int) {});
  }

  // Runs the loop until the work is done, at most for `milliseconds`.
  bool Run(uint64_t milliseconds) {
    uv_update_time(&loop_);
    uv_timer_start(
        &timer_, [](uv_timer_t* timer) { uv_stop(timer->loop); }, milliseconds, 0);
    if (!done_) uv_run(&loop_, UV_RUN_DEFAULT);
    uv_timer_stop(&timer_);
    return done_;
  }

  void Close() {
    uv_close(reinterpret_cast<uv_handle_t*>(&timer_), nullptr);
    uv_run(&loop_, UV_RUN_DEFAULT);
    uv_loop_close(&loop_);
    started_ = false;
  }

  bool started() const { return started_; }
  const uv_work_t& request() const { return request_; }

 private:
  uv_loop_t loop_;
  uv_timer_t timer_;
  uv_work_t request_;
  bool started_ = false;
  bool done_ = false;
};

// Process-wide, main thread only. Outlives a time-out: the work item may still be queued.
PoolErrand learning;
Status queue_learned = Unit{};

// A request that is cancelled as soon as it has been queued, to see how libuv marks one.
uv_work_t cancelled;

// While set, which mutex the main thread locks first: the one that uv_queue_work takes is the pool's. When it unlocks
// that, what it has queued is the last in the pool's queue; and when it does so again, with the request above, that can
// be cancelled for certain, since no thread of the pool has been able to take it yet.
std::atomic<bool> watching_locks{false};
pthread_mutex_t* first_locked = nullptr;
const void* request_queue = nullptr;
bool cancelling = false;
int cancel_result = 0;
int (*original_mutex_lock)(pthread_mutex_t*) = pthread_mutex_lock;
int (*original_mutex_unlock)(pthread_mutex_t*) = pthread_mutex_unlock;

bool IsWatched() { return watching_locks.load(std::memory_order_relaxed) && syscall(SYS_gettid) == getpid(); }

int WatchedMutexLock(pthread_mutex_t* mutex) {
  if (IsWatched()) {
    if (first_locked == nullptr) {
      first_locked = mutex;
      // Before a thread can be given the work: it tells the condition variable when it next waits with this mutex.
      LearnPoolMutex(mutex);
    }
    if (cancelling && mutex == first_locked) return 0;
  }
  return original_mutex_lock(mutex);
}

int WatchedMutexUnlock(pthread_mutex_t* mutex) {
  if (!IsWatched() || mutex != first_locked) return original_mutex_unlock(mutex);
  if (cancelling) return 0;
  if (request_queue == nullptr) {
    request_queue = RequestQueueAfter(learning.request());
  } else {
    cancelling = true;
    cancel_result = uv_cancel(reinterpret_cast<uv_req_t*>(&cancelled));
    cancelling = false;
  }
  return original_mutex_unlock(mutex);
}

Status WatchLocks() {
  const ImportReplacement watchers[] = {
      {"pthread_mutex_lock", reinterpret_cast<void*>(WatchedMutexLock), reinterpret_cast<void**>(&original_mutex_lock)},
      {"pthread_mutex_unlock", reinterpret_cast<void*>(WatchedMutexUnlock),
       reinterpret_cast<void**>(&original_mutex_unlock)}};
  return ReplaceImports(watchers, std::size(watchers));
}

Status StopWatchingLocks() {
  void* watcher = nullptr;
  const ImportReplacement originals[] = {
      {"pthread_mutex_lock", reinterpret_cast<void*>(original_mutex_lock), &watcher},
      {"pthread_mutex_unlock", reinterpret_cast<void*>(original_mutex_unlock), &watcher}};
  return ReplaceImports(originals, std::size(originals));
}

Status StartLearning() {
  Status watched = WatchLocks();
  if (!watched) return watched;
  int error = learning.Open();
  watching_locks.store(true);
  if (error == 0) error = learning.Queue([](uv_work_t*) { LearnPoolRoutineFromThisThread(); });
  if (error == 0) error = learning.QueueAnother(&cancelled);
  watching_locks.store(false);
  watched = StopWatchingLocks();
  if (!watched) return watched;
  if (error != 0) return Error::Errno("uv_queue_work", "quiesce", -error);
  if (first_locked == nullptr)
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "quiesce", "uv_queue_work locked nothing");
  if (cancel_result != 0) return Error::Errno("uv_cancel", "quiesce", -cancel_result);
  return LearnRequestQueue(first_locked, request_queue, cancelled);
}

// uv_async_send counts those that are in it (src/unix/async.c, since 1.45).
bool IsBusy(const uv_async_t* async) { return __atomic_load_n(&async->u.fd, __ATOMIC_ACQUIRE) != 0; }

// More than enough for a pool that has nothing else to do.
constexpr uint64_t kNewPoolPatienceMs = 60 * 1000;

}  // namespace

Status LearnPool(int64_t deadline) {
  if (KnowsPoolRoutine()) return Unit{};
  if (!learning.started()) {
    // libuv aborts when it cannot start its pool, which this may be the first use of.
    const int error = ProbeThreads(PoolSize());
    if (error != 0) return Error::Errno("pthread_create", "quiesce", error);
    queue_learned = StartLearning();
  }
  if (!queue_learned) return queue_learned;
  const int64_t left = deadline - MonotonicNanos();
  if (!learning.Run(left > 0 ? static_cast<uint64_t>(left / 1000000) : 0)) {
    return Error::Refused("ERR_ATFORK_QUIESCE_TIMEOUT", "quiesce", "libuv's pool is busy");
  }
  learning.Close();
  return Unit{};
}

int RenewLoop(uv_loop_t* loop) {
  // uv_loop_fork forgets wake-ups that were sent and not yet delivered (a finished compilation of V8's, say).
  std::vector<uv_async_t*> pending;
  uv_walk(
      loop,
      [](uv_handle_t* handle, void* found) {
        auto* async = reinterpret_cast<uv_async_t*>(handle);
        if (handle->type != UV_ASYNC || async->pending == 0) return;
        static_cast<std::vector<uv_async_t*>*>(found)->push_back(async);
      },
      &pending);
  const int error = uv_loop_fork(loop);
  if (error != 0) return error;
  // It has overlooked those that were to be modified anyway, as where a socket that is read could not write all at
  // once: they are not in the new epoll set, and libuv aborts.
  for (unsigned i = 0; i < loop->nwatchers; ++i) {
    uv__io_t* const watcher = loop->watchers[i];
    if (watcher != nullptr && watcher->pevents != 0) watcher->events = 0;
  }
  for (uv_async_t* async : pending) uv_async_send(async);
  ForgetSignals(loop);
  return 0;
}

bool IsBeingWoken(uv_loop_t* loop) {
  bool found = IsBusy(&loop->wq_async);
  uv_walk(
      loop,
      [](uv_handle_t* handle, void* found) {
        if (handle->type == UV_ASYNC && IsBusy(reinterpret_cast<uv_async_t*>(handle)))
          *static_cast<bool*>(found) = true;
      },
      &found);
  return found;
}

int RenewPool() {
  PoolErrand errand;
  int error = errand.Open();
  if (error == 0) error = errand.Queue([](uv_work_t*) {});
  if (error != 0) return error;
  if (!errand.Run(kNewPoolPatienceMs)) return UV_ETIMEDOUT;
  errand.Close();
  return 0;
}

}  // namespace atfork::runtime

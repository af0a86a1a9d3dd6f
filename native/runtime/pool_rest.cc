// pool_rest.cc - see pool_rest.h.
// Runs in:  the main thread; WatchedCondWait on any thread of the runtime.
// Calls:    pthread_mutex_trylock(3), openat(2), read(2) on proc(5); futex(2).
// Rests on: libuv src/threadpool.c: work is queued, taken and its condition variable signalled under the one mutex; an
//           item's result is posted before the thread comes back for the mutex. So who sleeps on the condition variable
//           while the mutex is held here was not signalled: who was has been woken, and is seen running, or waiting for
//           the mutex. (The word that it sleeps on does not tell: since glibc 2.41 it changes for other reasons too.)
//           A thread that comes back works off what is queued before it waits again. Its own fork handler makes libuv
//           build a new pool, from new threads and a new mutex, when it is next given work.
#include "runtime/pool_rest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cstdio>

#include "posix/futex.h"
#include "posix/thread_census.h"
#include "runtime/import_table.h"
#include "runtime/park_position.h"
#include "runtime/park_signal.h"
#include "runtime/request_queue.h"
#include "runtime/roll_call.h"

namespace atfork::runtime {
namespace {

// Process-wide. Written by the main thread, but for `condition`.
struct Pool {
  std::atomic<pthread_mutex_t*> mutex{nullptr};
  std::atomic<pthread_cond_t*> condition{nullptr};
  std::vector<pid_t> in_calls;
  std::vector<EndingPoolThread> ending;  // child: written while no other thread runs
  int (*cond_wait)(pthread_cond_t*, pthread_mutex_t*) = pthread_cond_wait;
};
Pool pool;

bool IsEnding(uintptr_t descriptor) {
  return std::any_of(pool.ending.begin(), pool.ending.end(),
                     [descriptor](const EndingPoolThread& thread) { return thread.descriptor == descriptor; });
}

int WatchedCondWait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  if (mutex == pool.mutex.load(std::memory_order_relaxed)) {
    pool.condition.store(condition, std::memory_order_relaxed);
    if (IsEnding(static_cast<uintptr_t>(pthread_self()))) {
      pthread_mutex_unlock(mutex);
      // Not through libc, which would trip over what fork(3) did to the thread (runtime_threads.cc).
      for (;;) syscall(SYS_exit, 0);
    }
  }
  return pool.cond_wait(condition, mutex);
}

enum class Reading { kInCall, kRunning, kGone, kForbidden };

// "202 0x55... 0x189 0x0 0x0 0x0 0xffffffff 0x7f... 0x7f...": number, arguments, stack pointer, program counter; or
// "running".
Reading ReadSystemCall(pid_t tid, SystemCall* call) {
  char path[32], text[256];
  std::snprintf(path, sizeof path, "%d/syscall", tid);
  const int fd = openat(TaskFolder(), path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? Reading::kGone : Reading::kForbidden;
  const ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return Reading::kGone;
  text[length] = '\0';
  const int fields = std::sscanf(text, "%ld %" SCNxPTR " %" SCNxPTR " %" SCNxPTR " %" SCNxPTR, &call->number,
                                 &call->arguments[0], &call->arguments[1], &call->arguments[2], &call->arguments[3]);
  if (fields != 5) return Reading::kRunning;
  call->present = true;
  return Reading::kInCall;
}

// Whether a signal would wake it (proc(5): S). Who waits for a disk (D) goes on by itself.
bool Sleeps(pid_t tid) {
  ThreadRecord record;
  return ReadThread(TaskFolder(), tid, nullptr, &record) && record.state == 'S';
}

enum class Rest { kIdle, kInCall, kBusy, kGone };

// `what` receives what a busy one does.
Rest RestOf(pid_t tid, const char** what) {
  SystemCall call = {};
  switch (ReadSystemCall(tid, &call)) {
    case Reading::kGone:
      return Rest::kGone;
    case Reading::kRunning:
      *what = "is at work";
      return Rest::kBusy;
    case Reading::kForbidden:
      // After setuid(2) the process's own files in /proc are root's: the thread itself is asked.
      *what = "does not answer or is at work";
      if (!AskPoolThread(tid, &call) || !call.present) return Rest::kBusy;
      break;
    case Reading::kInCall:
      break;
  }
  if (call.number == SYS_futex) {
    *what = "waits for a lock";
    const bool idle = WaitsOnCondition(call) && park_signal.modules.IsRuntimeData(call.arguments[0]);
    return idle ? Rest::kIdle : Rest::kBusy;
  }
  *what = "is in a system call";
  return (WaitsForOthers(call) || MayWaitToOpen(call)) && Sleeps(tid) ? Rest::kInCall : Rest::kBusy;
}

}  // namespace

Status WatchPool() {
  return ReplaceImport("pthread_cond_wait", reinterpret_cast<void*>(WatchedCondWait),
                       reinterpret_cast<void**>(&pool.cond_wait));
}

void LearnPoolMutex(pthread_mutex_t* mutex) { pool.mutex.store(mutex); }

bool IsPoolAtRest(PoolRest wanted, std::string* busy) {
  busy->clear();
  pool.in_calls.clear();
  for (const pid_t tid : PoolThreads()) {
    const char* what = "";
    const Rest rest = RestOf(tid, &what);
    if (rest == Rest::kInCall) pool.in_calls.push_back(tid);
    const bool rests = rest != Rest::kBusy && (rest != Rest::kInCall || wanted == PoolRest::kWaiting);
    if (rests) continue;
    *busy = "libuv-pool thread " + std::to_string(tid) + " " + what;
    return false;
  }
  return true;
}

bool HoldPool(PoolRest rest, std::string* busy) {
  if (pthread_mutex_trylock(pool.mutex.load()) != 0) {
    *busy = "work is being given to libuv's pool";
    return false;
  }
  if (IsPoolAtRest(rest, busy)) {
    // Where some come back from a call, they work off the queue first.
    if (!pool.in_calls.empty() || IsRequestQueueEmpty()) return true;
    // All of them sleep over it: glibc before 2.41 can lose a wake-up (BZ #25847). The child would lose the request.
    *busy = "a request waits for a thread of libuv's pool";
    if (pthread_cond_t* const condition = pool.condition.load()) pthread_cond_signal(condition);
  }
  ReleasePool();
  return false;
}

const std::vector<pid_t>& PoolThreadsInCalls() { return pool.in_calls; }

void ReleasePool() { pthread_mutex_unlock(pool.mutex.load()); }

bool ForgetPoolWaiters() {
  pthread_cond_t* const condition = pool.condition.load();
  if (condition == nullptr) return false;
  // The mutex counts those who are going to have it back as its users. Nothing is destroyed, which would wait for them:
  // on Linux there is nothing to undo. libuv's own are made with these attributes, but for a clock that is not used.
  return pthread_cond_init(condition, nullptr) == 0 && pthread_mutex_init(pool.mutex.load(), nullptr) == 0;
}

void EndPoolThread(const EndingPoolThread& thread) { pool.ending.push_back(thread); }

bool AwaitEndedPoolThreads(int64_t deadline) {
  for (const EndingPoolThread& thread : pool.ending) {
    // Not a private futex: it is the kernel that wakes.
    while (const int tid = __atomic_load_n(thread.cleared_tid, __ATOMIC_ACQUIRE)) {
      const int64_t left = deadline - MonotonicNanos();
      if (left <= 0) return false;
      const struct timespec patience = {left / 1000000000, left % 1000000000};
      syscall(SYS_futex, thread.cleared_tid, FUTEX_WAIT, tid, &patience, nullptr, 0);
    }
  }
  pool.ending.clear();
  return true;
}

}  // namespace atfork::runtime

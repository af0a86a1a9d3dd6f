// pool_rest.cc - see pool_rest.h.
// Runs in:  the parent, main thread.
// Calls:    pthread_mutex_trylock(3), open(2), read(2) on proc(5).
// Rests on: libuv src/threadpool.c: work is queued, taken and its condition variable signalled under the one mutex; an
//           item's result is posted before the thread comes back for the mutex. So who sleeps on the condition variable
//           while the mutex is held here was not signalled: who was has been woken, and is seen running, or waiting for
//           the mutex. (The word that it sleeps on does not tell: since glibc 2.41 it changes for other reasons too.)
#include "runtime/pool_rest.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>

namespace atfork::runtime {
namespace {

// Process-wide, main thread only.
pthread_mutex_t* pool_mutex = nullptr;

enum class Reading { kInCall, kRunning, kGone, kForbidden };

// "202 0x55... 0x189 0x0 0x0 0x0 0xffffffff 0x7f... 0x7f...": number, arguments, stack pointer, program counter; or
// "running".
Reading ReadSystemCall(pid_t tid, SystemCall* call) {
  char path[64], text[256];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
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

// Null when the thread may be left behind, else what it does.
const char* Busy(pid_t tid, const Pool& pool) {
  SystemCall call = {};
  switch (ReadSystemCall(tid, &call)) {
    case Reading::kGone:
      return nullptr;
    case Reading::kRunning:
      return "is at work";
    case Reading::kForbidden:
      if (!pool.ask(tid, &call)) return "does not answer";
      if (!call.present) return "is at work";
      break;
    case Reading::kInCall:
      break;
  }
  if (call.number != SYS_futex) {
    if (!WaitsForOthers(call)) return "is in a system call";
    return pool.may_wait_outside ? nullptr : "waits in a system call, it may be for a Worker";
  }
  return WaitsOnCondition(call) && pool.modules->IsRuntimeData(call.arguments[0]) ? nullptr : "waits for a lock";
}

}  // namespace

void LearnPoolMutex(pthread_mutex_t* mutex) { pool_mutex = mutex; }

bool PoolWaits(const Pool& pool, std::string* busy) {
  busy->clear();
  for (const pid_t tid : pool.threads) {
    if (const char* what = Busy(tid, pool)) {
      *busy = "libuv-pool thread " + std::to_string(tid) + " " + what;
      return false;
    }
  }
  return true;
}

bool HoldPool(const Pool& pool, std::string* busy) {
  if (pthread_mutex_trylock(pool_mutex) != 0) {
    *busy = "work is being given to libuv's pool";
    return false;
  }
  if (PoolWaits(pool, busy)) return true;
  pthread_mutex_unlock(pool_mutex);
  return false;
}

void ReleasePool() { pthread_mutex_unlock(pool_mutex); }

}  // namespace atfork::runtime

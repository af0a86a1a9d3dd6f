// exit_joins.cc - see exit_joins.h.
// Runs in:  any thread of the runtime that joins another.
// Calls:    futex(2), pthread_join(3).
// Rests on: glibc_layout's `cleared_tid`: the word that the kernel zeroes when the thread has ended.
//           node::WorkerThreadsTaskRunner::Shutdown (src/node_platform.cc, 20 to 26): its threads touch nothing of the
//           platform any more once they sleep inside V8, whose isolate is not disposed of on this way out.
#include "runtime/exit_joins.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "posix/stillness.h"
#include "runtime/import_table.h"
#include "runtime/park_signal.h"
#include "runtime/thread_roles.h"

namespace atfork::runtime {
namespace {

// Between two looks; and how many of them, one after the other, have to find that everybody sleeps.
constexpr struct timespec kBetweenLooks = {0, 50 * 1000 * 1000};
constexpr int kLooks = 10;

// Main thread only.
bool in_child = false;
int (*original_join)(pthread_t, void**) = pthread_join;

// False when it does not end, since all wait for each other.
bool AwaitEnd(const int* cleared_tid) {
  for (int looks = 0; looks < kLooks;) {
    const int tid = __atomic_load_n(cleared_tid, __ATOMIC_ACQUIRE);
    if (tid == 0) return true;
    // Not a private futex: it is the kernel that wakes.
    const long woken = syscall(SYS_futex, cleared_tid, FUTEX_WAIT, tid, &kBetweenLooks, nullptr, 0);
    if (woken != 0 && errno == ETIMEDOUT) looks = AllOthersSleep() ? looks + 1 : 0;
  }
  return __atomic_load_n(cleared_tid, __ATOMIC_ACQUIRE) == 0;
}

// V8's, above all; no JavaScript Worker, which is to be waited for.
bool GoesOnInChild(uintptr_t descriptor) {
  const uintptr_t routine = StartRoutineOf(park_signal.layout->thread, descriptor);
  return IsRuntimeRoutine(routine) && RoleOf(routine, descriptor) == ThreadRole::kRuntime;
}

int WatchedJoin(pthread_t thread, void** result) {
  const auto descriptor = static_cast<uintptr_t>(thread);
  if (in_child && syscall(SYS_gettid) == getpid() && GoesOnInChild(descriptor) &&
      !AwaitEnd(reinterpret_cast<const int*>(descriptor + park_signal.layout->cleared_tid))) {
    return 0;
  }
  return original_join(thread, result);
}

}  // namespace

Status WatchJoins() {
  return ReplaceImport("pthread_join", reinterpret_cast<void*>(WatchedJoin), reinterpret_cast<void**>(&original_join));
}

void GiveUpHopelessJoins() { in_child = true; }

}  // namespace atfork::runtime

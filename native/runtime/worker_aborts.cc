// worker_aborts.cc - see worker_aborts.h.
// Runs in:  the watchers on the thread that aborts; the rest on the main thread.
// Calls:    exit(2), that of the thread: the kernel wakes who joins it.
// Rests on: the assertions holding no lock that others need; what else the thread had stays as it is until the process
//           ends. libc's own aborts (a corrupted heap) do not come this way.
#include "runtime/worker_aborts.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <utility>

#include "child/confine.h"
#include "posix/process_state.h"
#include "runtime/import_table.h"
#include "runtime/loop_fds.h"

namespace atfork::runtime {
namespace {

// By their struct pthread; written while none of them runs.
std::vector<uintptr_t> workers;
std::atomic<int> aborted{0};
std::atomic<void (*)()> listener{nullptr};
void (*original_abort)() = abort;
void (*original_assert_fail)(const char*, const char*, unsigned, const char*) = __assert_fail;

void EndIfConfined() {
  if (child::IsConfined()) EndConfinedThread();
}
[[noreturn]] void WatchedAbort() {
  EndIfConfined();
  original_abort();
  __builtin_unreachable();
}

[[noreturn]] void WatchedAssertFail(const char* assertion, const char* file, unsigned line, const char* function) {
  EndIfConfined();
  original_assert_fail(assertion, file, line, function);
  __builtin_unreachable();
}

}  // namespace

void EndConfinedThread() {
  DisownLoops();
  GetProcessState()->locks.AbandonMutexes();
  if (std::find(workers.begin(), workers.end(), static_cast<uintptr_t>(pthread_self())) != workers.end()) {
    aborted.fetch_add(1);
    if (void (*tell)() = listener.load()) tell();
  }
  for (;;) syscall(SYS_exit, 0);
}

Status WatchAborts() {
  const ImportReplacement watchers[] = {
      {"abort", reinterpret_cast<void*>(WatchedAbort), reinterpret_cast<void**>(&original_abort)},
      {"__assert_fail", reinterpret_cast<void*>(WatchedAssertFail), reinterpret_cast<void**>(&original_assert_fail)}};
  return ReplaceImports(watchers, std::size(watchers));
}

void ExpectAborts(std::vector<uintptr_t> own_workers) {
  workers = std::move(own_workers);
  aborted.store(0);
  listener.store(nullptr);
}

int AbortedWorkers() { return aborted.load(); }

void ListenToAborts(void (*tell)()) { listener.store(tell); }

}  // namespace atfork::runtime

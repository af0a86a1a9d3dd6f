// thread_roles.cc - see thread_roles.h.
// Runs in:  the watcher on whichever thread starts one; the rest on the main thread but for Learn*FromThisThread.
// Locks:    `state.lock`, for a few instructions, around what the watcher shares with the main thread. A thread inside
// the
//           watcher is never parked, so it is free in a child.
#include "runtime/thread_roles.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "runtime/glibc_layout.h"
#include "runtime/import_table.h"

namespace atfork::runtime {
namespace {

// Process-wide.
struct State {
  ThreadLayout layout;
  ModuleSpan runtime;
  int (*pthread_create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) = ::pthread_create;

  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  uintptr_t pool_routine = 0;
  uintptr_t last_start_by_main = 0;
  std::vector<uintptr_t> worker_routines;
  std::vector<uintptr_t> nested_workers;  // struct pthread of each that another Worker started
};
State state;

class Locked {
 public:
  Locked() { pthread_mutex_lock(&state.lock); }
  ~Locked() { pthread_mutex_unlock(&state.lock); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
};

bool Contains(const std::vector<uintptr_t>& values, uintptr_t value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

int WatchedPthreadCreate(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
  const int result = state.pthread_create(thread, attributes, start, argument);
  if (result != 0) return result;
  const auto routine = reinterpret_cast<uintptr_t>(start);
  const auto descriptor = static_cast<uintptr_t>(*thread);  // in glibc a pthread_t is the address of the struct
  const Locked locked;
  auto& nested = state.nested_workers;
  nested.erase(std::remove(nested.begin(), nested.end(), descriptor), nested.end());
  if (syscall(SYS_gettid) == getpid()) {
    state.last_start_by_main = routine;
  } else if (Contains(state.worker_routines, routine)) {
    nested.push_back(descriptor);
  }
  return result;
}

uintptr_t OwnRoutine() { return StartRoutineOf(state.layout, static_cast<uintptr_t>(pthread_self())); }

void AddWorkerRoutine(uintptr_t routine) {
  if (state.runtime.Contains(routine) && !Contains(state.worker_routines, routine)) {
    state.worker_routines.push_back(routine);
  }
}

}  // namespace

Status WatchThreadStarts() {
  Result<ThreadLayout> layout = LearnThreadLayout();
  if (!layout) return layout.error();
  state.layout = layout.value();
  Result<ModuleSpan> runtime = FindRuntimeModule();
  if (!runtime) return runtime.error();
  state.runtime = runtime.value();
  return ReplaceImport("pthread_create", reinterpret_cast<void*>(WatchedPthreadCreate),
                       reinterpret_cast<void**>(&state.pthread_create));
}

void LearnWorkerRoutineFromThisThread() {
  const uintptr_t routine = OwnRoutine();
  const Locked locked;
  AddWorkerRoutine(routine);
}

void LearnWorkerRoutineFromLastStart() {
  const Locked locked;
  AddWorkerRoutine(state.last_start_by_main);
}

void LearnPoolRoutineFromThisThread() {
  const uintptr_t routine = OwnRoutine();
  const Locked locked;
  state.pool_routine = routine;
}

bool KnowsPoolRoutine() {
  const Locked locked;
  return state.pool_routine != 0;
}

bool IsRuntimeRoutine(uintptr_t routine) { return state.runtime.Contains(routine); }

ThreadRole RoleOf(uintptr_t routine) {
  const Locked locked;
  if (routine == state.pool_routine) return ThreadRole::kPoolThread;
  return Contains(state.worker_routines, routine) ? ThreadRole::kJsWorker : ThreadRole::kRuntime;
}

bool IsNestedWorker(uintptr_t descriptor) {
  const Locked locked;
  return Contains(state.nested_workers, descriptor);
}

ThreadClass ClassifyThread(const ThreadRecord& record) {
  if (record.tid == getpid()) return {"main", "kept"};
  if (!IsRuntimeRoutine(record.start_routine)) return {"foreign", "lost"};
  switch (RoleOf(record.start_routine)) {
    case ThreadRole::kPoolThread:
      return {"libuv-pool", "restarted"};
    case ThreadRole::kJsWorker:
      return {"js-worker", "ended"};
    case ThreadRole::kRuntime:
      break;
  }
  return {"runtime", "revived"};
}

}  // namespace atfork::runtime

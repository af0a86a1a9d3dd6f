// thread_roles.cc - see thread_roles.h.
// Runs in:  the watcher on whichever thread starts one; the rest on the main thread but for LearnThreadRoles and
//           Learn*FromThisThread.
// Locks:    `state.lock`, for a few instructions, around what the watcher shares with the main thread; over a fork.
#include "runtime/thread_roles.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "posix/fork_lock.h"
#include "runtime/glibc_layout.h"
#include "runtime/import_table.h"

namespace atfork::runtime {
namespace {

// Process-wide.
struct State {
  ThreadLayout layout;
  ModuleSpan runtime;
  int (*pthread_create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) = ::pthread_create;
  std::atomic<uint64_t> starts{0};

  ForkLock lock;
  uintptr_t pool_routine = 0;
  uintptr_t last_start_by_main = 0;
  uintptr_t last_descriptor_by_main = 0;
  std::vector<uintptr_t> worker_routines;
  // By their struct pthread.
  std::vector<uintptr_t> nested_workers;  // started by another Worker
  std::vector<uintptr_t> node_s_workers;
};
State state;

bool Contains(const std::vector<uintptr_t>& values, uintptr_t value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

int WatchedPthreadCreate(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
  state.starts.fetch_add(1);
  const int result = state.pthread_create(thread, attributes, start, argument);
  if (result != 0) return result;
  const auto routine = reinterpret_cast<uintptr_t>(start);
  const auto descriptor = static_cast<uintptr_t>(*thread);  // in glibc a pthread_t is the address of the struct
  const ForkLock::Guard guard(&state.lock);
  if (!guard.entered()) return result;
  for (auto* list : {&state.nested_workers, &state.node_s_workers}) {
    list->erase(std::remove(list->begin(), list->end(), descriptor), list->end());
  }
  if (syscall(SYS_gettid) == getpid()) {
    state.last_start_by_main = routine;
    state.last_descriptor_by_main = descriptor;
  } else if (Contains(state.worker_routines, routine)) {
    state.nested_workers.push_back(descriptor);
  }
  return result;
}

uintptr_t OwnRoutine() { return StartRoutineOf(state.layout, static_cast<uintptr_t>(pthread_self())); }

void AddWorkerRoutine(uintptr_t routine) {
  if (state.runtime.Contains(routine) && !Contains(state.worker_routines, routine)) {
    state.worker_routines.push_back(routine);
  }
}

Status Learn() {
  Result<ThreadLayout> layout = LearnThreadLayout();
  if (!layout) return layout.error();
  state.layout = layout.value();
  Result<ModuleSpan> runtime = FindRuntimeModule();
  if (!runtime) return runtime.error();
  state.runtime = runtime.value();
  return Unit{};
}

}  // namespace

Status LearnThreadRoles() {
  // Process-wide; a Worker may be the first to load this.
  static const Status learned = Learn();
  return learned;
}

Status WatchThreadStarts() {
  Status learned = LearnThreadRoles();
  if (!learned) return learned;
  return ReplaceImport("pthread_create", reinterpret_cast<void*>(WatchedPthreadCreate),
                       reinterpret_cast<void**>(&state.pthread_create));
}

void LockThreadRoles() { state.lock.LockForFork(); }

void UnlockThreadRoles() { state.lock.UnlockAfterFork(); }

void LearnWorkerRoutineFromThisThread() {
  const uintptr_t routine = OwnRoutine();
  const ForkLock::Guard guard(&state.lock);
  AddWorkerRoutine(routine);
}

void LearnWorkerRoutineFromLastStart(bool node_s) {
  const ForkLock::Guard guard(&state.lock);
  AddWorkerRoutine(state.last_start_by_main);
  if (node_s) state.node_s_workers.push_back(state.last_descriptor_by_main);
}

bool KeepEarliestWorker() {
  Result<UniqueFd> tasks = OpenTaskDirectory();
  if (!tasks) return false;
  // The kernel lists threads in the order in which they were started.
  uintptr_t earliest = 0;
  Status visited = ForEachThread(
      tasks.value().get(),
      [](pid_t tid, void* found) {
        const uintptr_t descriptor = FindDescriptor(state.layout, tid);
        if (RoleOf(StartRoutineOf(state.layout, descriptor), descriptor) != ThreadRole::kJsWorker) return true;
        *static_cast<uintptr_t*>(found) = descriptor;
        return false;
      },
      &earliest);
  if (!visited || earliest == 0) return false;
  const ForkLock::Guard guard(&state.lock);
  state.node_s_workers.push_back(earliest);
  return true;
}

void LearnPoolRoutineFromThisThread() {
  const uintptr_t routine = OwnRoutine();
  const ForkLock::Guard guard(&state.lock);
  state.pool_routine = routine;
}

bool KnowsPoolRoutine() {
  const ForkLock::Guard guard(&state.lock);
  return state.pool_routine != 0;
}

uint64_t ThreadStarts() { return state.starts.load(); }

bool IsRuntimeRoutine(uintptr_t routine) { return state.runtime.Contains(routine); }

bool IsRuntimeThread() { return IsRuntimeRoutine(OwnRoutine()); }

ThreadRole RoleOf(uintptr_t routine, uintptr_t descriptor) {
  const ForkLock::Guard guard(&state.lock);
  if (routine == state.pool_routine) return ThreadRole::kPoolThread;
  const bool worker = Contains(state.worker_routines, routine) && !Contains(state.node_s_workers, descriptor);
  return worker ? ThreadRole::kJsWorker : ThreadRole::kRuntime;
}

bool IsNestedWorker(uintptr_t descriptor) {
  const ForkLock::Guard guard(&state.lock);
  return Contains(state.nested_workers, descriptor);
}

}  // namespace atfork::runtime

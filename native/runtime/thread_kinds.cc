// thread_kinds.cc - see thread_kinds.h.
// Runs in:  any thread; ClassifyKnownThread while others are parked.
// Calls:    thread_roles, function_name.
// Locks:    `learned.lock`, for a look at the list. A thread in this code is never parked, so neither is who holds it.
// Rests on: Node's src/node_platform.cc, src/inspector_agent.cc, src/inspector_io.cc, src/node_worker.cc and libuv's
//           src/threadpool.c, from 20 to 26: what they call the functions that they start threads with.
#include "runtime/thread_kinds.h"

#include <unistd.h>

#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "posix/function_name.h"
#include "runtime/thread_roles.h"

namespace atfork::runtime {
namespace {

constexpr const char* kPool = "libuv-pool";
constexpr const char* kWorker = "js-worker";
constexpr const char* kOther = "runtime";

// Process-wide. Only where a name was looked for is there an entry.
struct Learned {
  std::mutex lock;
  std::vector<std::pair<uintptr_t, const char*>> kinds;
};
Learned learned;

const char* KindOfName(const std::string& name) {
  struct Known {
    const char* part;  // of the mangled name
    const char* kind;
  };
  static constexpr Known kKnown[] = {
      {"20PlatformWorkerThread", "v8-worker"},
      {"20DelayedTaskScheduler", "delayed-task"},
      {"_ZN4node9inspector", "inspector"},
      {"6Worker11StartThread", kWorker},
  };
  if (name == "worker") return kPool;
  for (const Known& known : kKnown) {
    if (name.find(known.part) != std::string::npos) return known.kind;
  }
  return kOther;
}

const char* FindKind(uintptr_t routine) {
  const std::lock_guard<std::mutex> guard(learned.lock);
  for (const auto& [known, kind] : learned.kinds) {
    if (known == routine) return kind;
  }
  return nullptr;
}

void LearnKind(uintptr_t routine) {
  if (!IsRuntimeRoutine(routine) || FindKind(routine) != nullptr) return;
  const char* const kind = KindOfName(FunctionNameAt(routine));
  const std::lock_guard<std::mutex> guard(learned.lock);
  learned.kinds.emplace_back(routine, kind);
}

}  // namespace

Status LoadThreadKinds() {
  Status learned = LearnThreadRoles();
  if (learned) SetThreadClassifier(ClassifyThread);
  return learned;
}

ThreadClass ClassifyThread(const ThreadRecord& record) {
  if (record.tid != getpid()) LearnKind(record.start_routine);
  return ClassifyKnownThread(record);
}

ThreadClass ClassifyKnownThread(const ThreadRecord& record) {
  if (record.tid == getpid()) return {"main", "kept"};
  if (record.is_kernel_s) return {kOther, "lost"};
  if (!IsRuntimeRoutine(record.start_routine)) return {"foreign", "lost"};
  switch (RoleOf(record.start_routine, record.pd)) {
    case ThreadRole::kPoolThread:
      return {kPool, "restarted"};
    case ThreadRole::kJsWorker:
      return {kWorker, "lost"};
    case ThreadRole::kRuntime:
      break;
  }
  const char* const kind = FindKind(record.start_routine);
  if (kind == nullptr) return {kOther, "revived"};
  // The pool's routine is not known as such before the first fork.
  return {kind, kind == kPool ? "restarted" : "revived"};
}

}  // namespace atfork::runtime

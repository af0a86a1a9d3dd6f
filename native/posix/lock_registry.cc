// lock_registry.cc - all locks of this process; see lock_registry.h.
// Runs in:  any thread; around a fork on the forking one, in the child on its only one. Calls: what locks do; in
// Explain,
//           std::string. Allocates: nowhere else.
#include "posix/lock_registry.h"

#include "posix/process_state.h"

namespace atfork {
namespace {

// Not strcmp(3): nothing of another library is called under a ShortLock.
bool SameName(const char* one, const char* other) {
  while (*one != '\0' && *one == *other) ++one, ++other;
  return *one == *other;
}

// This thread takes every lock for a fork.
class Forks {
 public:
  explicit Forks(const ThreadIdentity& self) : entry_(self.entry) { Set(true); }
  ~Forks() { Set(false); }
  Forks(const Forks&) = delete;
  Forks& operator=(const Forks&) = delete;

 private:
  void Set(bool forks) {
    if (entry_ != nullptr) entry_->forks.store(forks);
  }
  ThreadEntry* const entry_;
};

std::string NameOf(uint32_t token) {
  ThreadDescription thread;
  if (!GetProcessState()->threads.Describe(token, &thread)) return "a thread";
  const std::string id = "thread " + std::to_string(thread.tid);
  return thread.label[0] == '\0' ? id : std::string(thread.label) + " (" + id + ")";
}

}  // namespace

Lock* LockRegistry::Find(const char* name, LockKind kind) const {
  Lock* lock = first();
  while (lock != nullptr && !(lock->kind == kind && SameName(lock->name, name))) lock = Next(lock);
  return lock;
}

Lock* LockRegistry::Add(Lock* lock) {
  const ShortLock::Guard guard(&adding_);
  Lock* const same = Find(lock->name, lock->kind);
  if (same != nullptr) return same;
  std::atomic<Lock*>* link = &first_;
  for (Lock* at = first(); at != nullptr && at->rank <= lock->rank; at = Next(at)) link = &at->next;
  lock->next.store(link->load(std::memory_order_relaxed), std::memory_order_relaxed);
  link->store(lock, std::memory_order_release);  // one store: a child that is copied now has a whole list
  return lock;
}

bool LockRegistry::AcquireAllForFork(const ThreadIdentity& self, int64_t deadline, LocksRefusal* refusal) {
  const Forks forks(self);
  const Patience patience = {deadline, nullptr, nullptr, &refusal->circle};
  Lock* earliest = nullptr;
  while (!TryAllForFork(self, patience, earliest, refusal)) {
    if (refusal->status != AcquireStatus::kDeadlock || !refusal->is_of_fork) return false;
    earliest = refusal->lock;
  }
  return true;
}

bool LockRegistry::TryAllForFork(const ThreadIdentity& self, const Patience& patience, Lock* earliest,
                                 LocksRefusal* refusal) {
  const auto take = [&](Lock* lock) {
    const AcquireStatus status = lock->AcquireForFork(self, patience);
    if (status != AcquireStatus::kTimedOut && status != AcquireStatus::kDeadlock) return true;
    refusal->status = status;
    refusal->lock = lock;
    // Before anything is given back.
    refusal->is_of_fork = status == AcquireStatus::kDeadlock && LastOf(refusal->circle).lock->IsHeldForForkOnly(self);
    return false;
  };
  if (earliest != nullptr && !take(earliest)) return false;
  Lock* lock = first();
  while (lock != nullptr && (lock == earliest || take(lock))) lock = Next(lock);
  if (lock == nullptr) return true;
  for (Lock* taken = first(); taken != lock; taken = Next(taken)) {
    if (taken != earliest) taken->ReleaseAfterFork(self);
  }
  if (earliest != nullptr) earliest->ReleaseAfterFork(self);
  return false;
}

void LockRegistry::ReleaseAllAfterFork(const ThreadIdentity& self) {
  for (Lock* lock = first(); lock != nullptr; lock = Next(lock)) lock->ReleaseAfterFork(self);
}

void LockRegistry::PrepareAllForFork(const ThreadIdentity& self) {
  const int64_t deadline = MonotonicNanos() + kForeignForkWait;
  for (Lock* lock = first(); lock != nullptr; lock = Next(lock)) lock->PrepareForFork(self, deadline);
}

void LockRegistry::AllAfterForkParent(const ThreadIdentity& self) {
  for (Lock* lock = first(); lock != nullptr; lock = Next(lock)) lock->AfterForkParent(self);
}

void LockRegistry::AllAfterForkChild(const ThreadIdentity& self) {
  adding_.Reset();
  for (Lock* lock = first(); lock != nullptr; lock = Next(lock)) lock->AfterForkChild(self);
}

void LockRegistry::AbandonAll(const ThreadIdentity& self) {
  for (Lock* lock = first(); lock != nullptr; lock = Next(lock)) lock->Abandon(self);
}

std::string Explain(const Circle& circle) {
  std::string text;
  for (int i = 0; i < circle.count; ++i) {
    const std::string holder = i + 1 < circle.count ? NameOf(circle.parts[i].owner) : "this thread";
    if (i > 0) text += " and waits for ";
    text += std::string("'") + circle.parts[i].lock->name + "', which " + holder + " holds";
  }
  return text;
}

}  // namespace atfork

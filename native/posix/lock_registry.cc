// lock_registry.cc - all locks of this process; see lock_registry.h.
// Runs in:  any thread; around a fork on the forking one, in the child on its only one. Calls: what locks do; in
// Explain,
//           std::string. Allocates: nowhere else.
#include "posix/lock_registry.h"

#include <algorithm>

#include "posix/every_child.h"
#include "posix/fork_mutex.h"
#include "posix/process_state.h"

namespace atfork {
namespace {

// Not strcmp(3): nothing of another library is called under a ShortLock.
bool SameName(const char* one, const char* other) {
  while (*one != '\0' && *one == *other) ++one, ++other;
  return *one == *other;
}

// This thread takes every lock for a fork; forks of handlers may be inside of one another.
class Forks {
 public:
  explicit Forks(const ThreadIdentity& self) : entry_(self.entry) {
    if (entry_ != nullptr) outer_ = entry_->forks.exchange(true);
  }
  ~Forks() {
    if (entry_ != nullptr) entry_->forks.store(outer_);
  }
  Forks(const Forks&) = delete;
  Forks& operator=(const Forks&) = delete;

 private:
  ThreadEntry* const entry_;
  bool outer_ = false;
};

std::string NameOf(uint32_t token) {
  ThreadDescription thread;
  if (!GetProcessState()->threads.Describe(token, &thread)) return "a thread";
  const std::string id = "thread " + std::to_string(thread.tid);
  return thread.label[0] == '\0' ? id : std::string(thread.label) + " (" + id + ")";
}

}  // namespace

ForkParticipant* LockRegistry::Find(const char* name, ParticipantKind kind) const {
  ForkParticipant* each = first();
  while (each != nullptr && !(each->kind == kind && SameName(each->name, name))) each = Next(each);
  return each;
}

ForkParticipant* LockRegistry::Add(ForkParticipant* made, const ThreadIdentity& self) {
  const ShortLock::Guard guard(&adding_);
  // A thread that was brought back in a child, to be ended there.
  if (self.generation != GetProcessState()->generation.load(std::memory_order_relaxed)) return nullptr;
  // Mutexes have names for messages only.
  ForkParticipant* const same = made->kind == ParticipantKind::kMutex ? nullptr : Find(made->name, made->kind);
  if (same != nullptr) return same;
  if (forking_ != 0) {
    made->BeginHeldForFork(forking_);
    made->held_for_fork = true;
  }
  std::atomic<ForkParticipant*>* link = &first_;
  for (ForkParticipant* at = first(); at != nullptr && at->rank <= made->rank; at = Next(at)) link = &at->next;
  made->next.store(link->load(std::memory_order_relaxed), std::memory_order_relaxed);
  link->store(made, std::memory_order_release);  // one store: a child that is copied now has a whole list
  return made;
}

const Lock* LockRegistry::HeldUpByFork(const ThreadIdentity& self) const {
  for (const ForkParticipant* each = first(); each != nullptr; each = Next(each)) {
    if (each->kind == ParticipantKind::kMutex) continue;
    const auto* const lock = static_cast<const Lock*>(each);
    if (lock->OwnerToken() == self.token && lock->IsHeldForForkOnly(self) && lock->Waiters(nullptr, 0) > 0) return lock;
  }
  return nullptr;
}

bool LockRegistry::AcquireAllForFork(const ThreadIdentity& self, int64_t deadline, LocksRefusal* refusal) {
  const Forks forks(self);
  const Patience patience = {deadline, nullptr, nullptr, &refusal->circle};
  // Those that it had to wait for, the last one first: the order in which others take them, in the end.
  ForkParticipant* earliest[kMostEarliest];
  int count = 0;
  for (;;) {
    if (TryAllForFork(self, patience, earliest, count, refusal)) {
      // From here on a new one is this thread's from the start. One that came meanwhile is not yet.
      if (CloseForFork(self)) return true;
      continue;
    }
    ReleaseAllAfterFork(self);
    if (refusal->status != AcquireStatus::kDeadlock || !refusal->is_of_fork) return false;
    if (MonotonicNanos() >= deadline) {
      refusal->status = AcquireStatus::kTimedOut;
      return false;
    }
    count = MoveToFront(refusal->participant, earliest, count);
  }
}

// Returns how many there are then.
int LockRegistry::MoveToFront(ForkParticipant* participant, ForkParticipant** list, int count) {
  int at = 0;
  while (at < count && list[at] != participant) ++at;
  if (at == count) count = std::min(count + 1, kMostEarliest);
  for (at = std::min(at, count - 1); at > 0; --at) list[at] = list[at - 1];
  list[0] = participant;
  return count;
}

// False: there is one that is not held.
bool LockRegistry::CloseForFork(const ThreadIdentity& self) {
  const ShortLock::Guard guard(&adding_);
  for (const ForkParticipant* each = first(); each != nullptr; each = Next(each)) {
    if (!each->held_for_fork) return false;
  }
  forking_ = self.token;
  return true;
}

bool LockRegistry::TryAllForFork(const ThreadIdentity& self, const Patience& patience, ForkParticipant* const* earliest,
                                 int count, LocksRefusal* refusal) {
  const auto take = [&](ForkParticipant* each) {
    if (each->held_for_fork) return true;
    const AcquireStatus status = each->AcquireForFork(self, patience);
    if (status != AcquireStatus::kTimedOut && status != AcquireStatus::kDeadlock &&
        status != AcquireStatus::kBypassed) {
      each->held_for_fork = true;
      return true;
    }
    refusal->status = status;
    refusal->participant = each;
    // Before anything is given back.
    refusal->is_of_fork = status == AcquireStatus::kDeadlock && LastOf(refusal->circle).lock->IsHeldForForkOnly(self);
    return false;
  };
  for (int i = 0; i < count; ++i) {
    if (!take(earliest[i])) return false;
  }
  for (ForkParticipant* each = first(); each != nullptr; each = Next(each)) {
    if (!take(each)) return false;
  }
  return true;
}

void LockRegistry::ReleaseAllAfterFork(const ThreadIdentity& self) {
  {
    const ShortLock::Guard guard(&adding_);
    forking_ = 0;
  }
  for (ForkParticipant* each = first(); each != nullptr; each = Next(each)) {
    if (!each->held_for_fork) continue;
    each->held_for_fork = false;
    each->ReleaseAfterFork(self);
  }
}

void LockRegistry::PrepareAllForFork(const ThreadIdentity& self) {
  const Forks forks(self);
  const int64_t deadline = MonotonicNanos() + kForeignForkWait;
  for (ForkParticipant* each = first(); each != nullptr; each = Next(each)) each->PrepareForFork(self, deadline);
}

void LockRegistry::AllAfterForkParent(const ThreadIdentity& self) {
  for (ForkParticipant* each = first(); each != nullptr; each = Next(each)) each->AfterForkParent(self);
}

ATFORK_IN_EVERY_CHILD void LockRegistry::AllAfterForkChild(const ThreadIdentity& self) {
  adding_.Reset();
  for (ForkParticipant* each = first(); each != nullptr; each = Next(each)) each->AfterForkChild(self);
}

void LockRegistry::AbandonAll(const ThreadIdentity& self) {
  for (ForkParticipant* each = first(); each != nullptr; each = Next(each)) each->Abandon(self);
}

void LockRegistry::AbandonMutexes() {
  for (ForkParticipant* each = first(); each != nullptr; each = Next(each)) {
    if (each->kind == ParticipantKind::kMutex) static_cast<ForkMutex*>(each)->Abandon();
  }
}

bool LockRegistry::HasMutex(const pthread_mutex_t* mutex) const {
  for (const ForkParticipant* each = first(); each != nullptr; each = Next(each)) {
    if (each->kind == ParticipantKind::kMutex && static_cast<const ForkMutex*>(each)->Is(mutex)) return true;
  }
  return false;
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

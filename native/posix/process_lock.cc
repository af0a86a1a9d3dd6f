// process_lock.cc - a recursive lock for the threads of one process, that a fork does not break.
// Runs in:  any thread; PrepareForFork and AfterForkParent on the forking thread of the parent, AfterForkChild on the
//           only thread of the child, before any other is brought back there.
// Calls:    futex(2) and clock_gettime(2), and those only with contention. Keeps errno. Allocates: no.
// Returns:  AcquireStatus. man: futex(2), pthread_atfork(3), pthread_mutex_consistent(3).
#include "posix/process_lock.h"

#include <climits>

namespace atfork {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kRelease = std::memory_order_release;

constexpr uint64_t Tag(uint32_t token, pid_t tid) { return uint64_t{token} << 32 | static_cast<uint32_t>(tid); }
constexpr uint32_t TokenOf(uint64_t tag) { return static_cast<uint32_t>(tag >> 32); }
constexpr pid_t TidOf(uint64_t tag) { return static_cast<pid_t>(tag); }

}  // namespace

AcquireStatus ProcessLock::TryAcquire(const ThreadIdentity& self) {
  if (IsForeign(self)) return AcquireStatus::kCancelled;
  uint32_t word = 0;
  do {  // the second round is for a word without an owner that is not plainly 0: an orphaned one
    if (word_.compare_exchange_strong(word, word | self.token, kAcquire, kRelaxed)) return Took(self, word);
  } while (OwnerOf(word) == 0);

  if (OwnerOf(word) == self.token) {
    const uint32_t depth = depth_.load(kRelaxed);
    if (depth == kMaxDepth) return AcquireStatus::kTooDeep;
    depth_.store(depth + 1, kRelaxed);
    return (word & kOrphaned) != 0 ? AcquireStatus::kOwnerDied : AcquireStatus::kAcquired;
  }
  return word == kNotRecoverable ? AcquireStatus::kNotRecoverable : AcquireStatus::kTimedOut;
}

AcquireStatus ProcessLock::Acquire(const ThreadIdentity& self, int64_t deadline) {
  const AcquireStatus first_try = TryAcquire(self);
  if (first_try != AcquireStatus::kTimedOut) return first_try;

  // Once woken, the bit comes along into the word: whoever released the lock took it away, and more may be asleep.
  uint32_t waiters = 0;
  while (!IsForeign(self)) {
    uint32_t word = word_.load(kRelaxed);
    if (word == kNotRecoverable) return AcquireStatus::kNotRecoverable;
    if (OwnerOf(word) == 0) {
      if (word_.compare_exchange_weak(word, word | self.token | waiters, kAcquire, kRelaxed)) return Took(self, word);
      continue;
    }
    const uint32_t flagged = word | kWaiters;
    if (word != flagged && !word_.compare_exchange_weak(word, flagged, kRelaxed)) continue;
    if (!FutexWait(&word_, flagged, deadline)) return AcquireStatus::kTimedOut;
    waiters = kWaiters;
  }
  // The wake-up that brought us here may have been meant for a thread that can use it.
  if (waiters != 0) FutexWake(&word_, 1);
  return AcquireStatus::kCancelled;
}

bool ProcessLock::Release(const ThreadIdentity& self) {
  const uint32_t word = word_.load(kRelaxed);
  if (OwnerOf(word) != self.token) return false;
  const uint32_t depth = depth_.load(kRelaxed) - 1;
  depth_.store(depth, kRelaxed);
  if (depth == 0) Unlock((word & kOrphaned) != 0 ? kNotRecoverable : 0);
  return true;
}

bool ProcessLock::MakeConsistent(const ThreadIdentity& self) {
  if (!HeldBy(self)) return false;
  word_.fetch_and(~kOrphaned, kRelaxed);
  return true;
}

void ProcessLock::Abandon(const ThreadIdentity& self) {
  if (!HeldBy(self)) return;
  depth_.store(0, kRelaxed);
  Unlock(kOrphaned);
}

bool ProcessLock::HeldBy(const ThreadIdentity& self) const { return OwnerOf(word_.load(kRelaxed)) == self.token; }

bool ProcessLock::IsHeld() const {
  const uint32_t word = word_.load(kRelaxed);
  return OwnerOf(word) != 0 && word != kNotRecoverable;
}

bool ProcessLock::IsOrphaned() const { return (word_.load(kRelaxed) & kOrphaned) != 0; }

std::optional<LockOwner> ProcessLock::Owner() const {
  const uint32_t word = word_.load(kAcquire);
  const bool held = OwnerOf(word) != 0 && word != kNotRecoverable;
  if (!held && (word & kOrphaned) == 0) return std::nullopt;
  const uint64_t tag = owner_tag_.load(kRelaxed);
  // An owner that has just swapped its token in has not signed yet.
  const bool signed_by_owner = !held || TokenOf(tag) == OwnerOf(word);
  return LockOwner{owner_pid_.load(kRelaxed), signed_by_owner ? TidOf(tag) : 0, held ? depth_.load(kRelaxed) : 0};
}

AcquireStatus ProcessLock::AcquireForFork(const ThreadIdentity& self, int64_t deadline) {
  if (!HeldBy(self)) return Acquire(self, deadline);
  depth_.fetch_add(1, kRelaxed);  // above kMaxDepth if need be: what this thread holds is no obstacle to its fork
  return AcquireStatus::kAcquired;
}

void ProcessLock::ReleaseAfterFork(const ThreadIdentity& self) {
  const uint32_t word = word_.load(kRelaxed);
  if (OwnerOf(word) != self.token) return;
  const uint32_t depth = depth_.load(kRelaxed) - 1;
  depth_.store(depth, kRelaxed);
  if (depth == 0) Unlock(word & kOrphaned);  // a fork repairs nothing, and must not spoil it for those who can
}

void ProcessLock::PrepareForFork(const ThreadIdentity& self) {
  // Whether it succeeded is in the word: from here to the other two handlers nobody else can make this thread the
  // owner.
  if (HeldBy(self)) {
    depth_.fetch_add(1, kRelaxed);
  } else if (TryAcquire(self) == AcquireStatus::kTimedOut) {
    Acquire(self, MonotonicNanos() + kForeignForkWait);
  }
}

void ProcessLock::AfterForkParent(const ThreadIdentity& self) { ReleaseAfterFork(self); }

void ProcessLock::AfterForkChild(const ThreadIdentity& self) {
  generation_.store(self.generation, kRelaxed);
  const uint32_t word = word_.load(kRelaxed);
  if (word == kNotRecoverable) return;

  if (OwnerOf(word) == self.token) {
    RecordOwner(self);
    const uint32_t depth = depth_.load(kRelaxed) - 1;
    depth_.store(depth, kRelaxed);
    word_.store((word & kOrphaned) | (depth == 0 ? 0 : self.token), kRelaxed);
    return;
  }
  // Somebody else had it when prepare gave up. A word that is free by now proves nothing: memory is not copied all at
  // once, so the page with the word may be younger than a page with what it protects.
  const uint64_t tag = owner_tag_.load(kRelaxed);
  if (OwnerOf(word) != 0 && TokenOf(tag) != OwnerOf(word)) owner_tag_.store(Tag(OwnerOf(word), 0), kRelaxed);
  depth_.store(0, kRelaxed);
  word_.store(kOrphaned, kRelaxed);
}

bool ProcessLock::IsForeign(const ThreadIdentity& self) const { return self.generation != generation_.load(kRelaxed); }

// This thread's token is in the word, which was `word` before.
AcquireStatus ProcessLock::Took(const ThreadIdentity& self, uint32_t word) {
  if (IsForeign(self)) {  // it was brought back in a child just before the compare-and-swap
    Unlock(word & kOrphaned);
    return AcquireStatus::kCancelled;
  }
  RecordOwner(self);
  depth_.store(1, kRelaxed);
  return (word & kOrphaned) != 0 ? AcquireStatus::kOwnerDied : AcquireStatus::kAcquired;
}

void ProcessLock::Unlock(uint32_t next) {
  const uint32_t word = word_.exchange(next, kRelease);
  if ((word & kWaiters) != 0) FutexWake(&word_, next == kNotRecoverable ? INT_MAX : 1);
}

void ProcessLock::RecordOwner(const ThreadIdentity& self) {
  owner_pid_.store(self.pid, kRelaxed);
  owner_tag_.store(Tag(self.token, self.tid), kRelaxed);
}

}  // namespace atfork

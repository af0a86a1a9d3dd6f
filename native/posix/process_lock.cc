// process_lock.cc - a recursive lock for the threads of one process, that a fork does not break.
// Runs in:  any thread; PrepareForFork and AfterForkParent on the forking thread of the parent, AfterForkChild on the
//           only thread of the child, before any other is brought back there.
// Calls:    futex(2) and clock_gettime(2), and those only with contention.
// Keeps errno. Allocates: no. Returns:  AcquireStatus. man: futex(2), pthread_atfork(3), pthread_mutex_consistent(3).
#include "posix/process_lock.h"

#include <algorithm>

#include "posix/bypassed_fork.h"
#include "posix/every_child.h"
#include "posix/lock_wait.h"
#include "posix/process_state.h"
#include "posix/spin.h"

namespace atfork {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kRelease = std::memory_order_release;

}  // namespace

AcquireStatus ProcessLock::TryAcquire(const ThreadIdentity& self) {
  uint32_t word = word_.load(kRelaxed);
  while ((word & kHeld) == 0) {
    if (IsForeign(self)) return AcquireStatus::kCancelled;
    // Expects this thread's generation: with another process's it fails, however late it comes.
    const uint32_t expected = (word & ~kTokenMask) | FreeWord(self);
    word = expected;
    if (word_.compare_exchange_strong(word, (expected & ~kTokenMask) | kHeld | self.token, kAcquire, kRelaxed)) {
      return (expected & kOrphaned) != 0 ? AcquireStatus::kOwnerDied : AcquireStatus::kAcquired;
    }
  }
  if (IsForeign(self)) return AcquireStatus::kCancelled;
  if ((word & kOwner) == (kHeld | self.token)) {
    const uint32_t extra = extra_depth_.load(kRelaxed);
    if (extra == kMaxDepth - 1) return AcquireStatus::kTooDeep;
    extra_depth_.store(extra + 1, kRelaxed);
    return (word & kOrphaned) != 0 ? AcquireStatus::kOwnerDied : AcquireStatus::kAcquired;
  }
  return word == kNotRecoverable ? AcquireStatus::kNotRecoverable : AcquireStatus::kTimedOut;
}

AcquireStatus ProcessLock::Acquire(const ThreadIdentity& self, const Patience& patience) {
  AcquireStatus status = TryAcquire(self);
  if (patience.deadline <= 0) return status;
  const auto is_free = [this] { return (word_.load(kRelaxed) & kHeld) == 0; };
  while (status == AcquireStatus::kTimedOut && SpinUntil(is_free)) status = TryAcquire(self);
  return status == AcquireStatus::kTimedOut ? Wait(this, self, patience) : status;
}

// Takes the lock for `waiter` if it is free, or was given to it. Else: stays in the queue, or leaves it.
AcquireStatus ProcessLock::Look(Waiter* waiter, bool stays) {
  Wakeup wakeup;
  AcquireStatus status = AcquireStatus::kTimedOut;
  const int64_t now = MonotonicNanos();
  {
    const ShortLock::Guard guard(&short_);
    for (;;) {
      // Its queue is the parent's.
      if (waiter->generation != generation_.load(kRelaxed)) return AcquireStatus::kCancelled;
      if (given_to_ != nullptr && given_to_ != waiter && !given_to_->CanAct()) {
        // Its thread has fallen asleep, perhaps for this very lock, and cannot look before that is over.
        Requeue();
        word_.store(FreeWord(*waiter->self) | (word_.load(kRelaxed) & (kWaiters | kAwake | kOrphaned)), kRelaxed);
      }
      uint32_t word = word_.load(kRelaxed);
      const uint32_t orphaned = word & kOrphaned;
      if (waiter->state.load(kRelaxed) == Waiter::kGranted) {
        given_to_ = nullptr;
        return orphaned != 0 ? AcquireStatus::kOwnerDied : AcquireStatus::kAcquired;
      }
      if (word == kNotRecoverable) {
        queue_.Remove(waiter);
        queue_.Rouse(&wakeup);
        status = AcquireStatus::kNotRecoverable;
        break;
      }
      const bool others = queue_.HasOthersThan(waiter);
      const bool free = (word & kHeld) == 0;
      const bool was_awake = waiter->IsAwake();
      // Woken in vain: somebody was quicker, and may be so again and again. Until somebody's turn has come.
      const int64_t turn = was_awake ? queue_.first()->turn : 0;
      const bool naps = stays && !free && now < turn;
      const uint32_t awake = naps ? kAwake : (was_awake ? 0 : word & kAwake);
      const uint32_t waiters = others || (stays && !free) ? kWaiters : 0;
      const uint32_t owner = free ? kHeld | waiter->token : word & kOwner;
      // If it fails, the owner has just released it, or somebody has just taken it.
      if (!word_.compare_exchange_weak(word, owner | orphaned | awake | waiters, kAcquire, kRelaxed)) continue;
      if (free || !stays) {
        queue_.Remove(waiter);
      } else {
        if (naps) waiter->nap_ends = std::min(now + kShortNap, turn);
        waiter->state.store(naps ? Waiter::kNapping : Waiter::kAsleep, kRelaxed);
        if (!waiter->queued) queue_.Append(waiter);
      }
      if (free) status = orphaned != 0 ? AcquireStatus::kOwnerDied : AcquireStatus::kAcquired;
      break;
    }
  }
  wakeup.Send();
  return status;
}

void ProcessLock::Withdraw(Waiter* waiter) {
  if (IsAcquired(Look(waiter, false))) Unlock(FreeWord(*waiter->self) | (word_.load(kRelaxed) & kOrphaned));
}

bool ProcessLock::ReleaseToken(uint32_t token, const ThreadIdentity& self) {
  if (!HeldByToken(token)) return false;
  const uint32_t extra = extra_depth_.load(kRelaxed);
  if (extra > 0) {
    extra_depth_.store(extra - 1, kRelaxed);
  } else {
    Unlock(IsOrphaned() ? kNotRecoverable : FreeWord(self));
  }
  return true;
}

bool ProcessLock::MakeConsistentToken(uint32_t token) {
  if (!HeldByToken(token)) return false;
  word_.fetch_and(~kOrphaned, kRelaxed);
  return true;
}

void ProcessLock::Abandon(const ThreadIdentity& self) {
  if (!HeldByThreadOrLoop(self) || IsForeign(self)) return;
  uint32_t orphaned = kOrphaned;
  {
    const ShortLock::Guard guard(&short_);
    if (given_to_ != nullptr) {  // nobody was at work yet
      Requeue();
      orphaned &= word_.load(kRelaxed);
    }
  }
  if (orphaned != 0) NoteLeaver(self.token);
  extra_depth_.store(0, kRelaxed);
  Unlock(FreeWord(self) | orphaned);
}

// The loop that the lock was given to has not looked, and is not to have it now. It goes on waiting, in front.
void ProcessLock::Requeue() {
  given_to_->state.store(Waiter::kAsleep, kRelaxed);
  queue_.Prepend(given_to_);
  given_to_ = nullptr;
  word_.fetch_or(kWaiters, kRelaxed);
}

bool ProcessLock::IsHeld() const {
  const uint32_t word = word_.load(kRelaxed);
  return (word & kHeld) != 0 && word != kNotRecoverable;
}

bool ProcessLock::IsOrphaned() const { return (word_.load(kRelaxed) & kOrphaned) != 0; }

uint32_t ProcessLock::OwnerToken() const {
  const uint32_t word = word_.load();
  if ((word & kHeld) == 0 || word == kNotRecoverable) return 0;
  if ((word & kLoopOwner) != 0) {
    // What a loop was given and has not heard of, anybody may take: Look.
    const ShortLock::Guard guard(&short_);
    if (given_to_ != nullptr) return 0;
  }
  return word & kTokenMask;
}

std::optional<LockOwner> ProcessLock::Owner() const {
  const uint32_t word = word_.load(kAcquire);
  LockOwner owner;
  if ((word & kHeld) != 0 && word != kNotRecoverable) {
    // Not there by now: then it is as if it were not known.
    GetProcessState()->threads.Describe(word & kTokenMask, &owner.thread);
    owner.depth = extra_depth_.load(kRelaxed) + 1;
    owner.is_loop = (word & kLoopOwner) != 0;
    return owner;
  }
  if ((word & kOrphaned) == 0) return std::nullopt;
  const ShortLock::Guard guard(&short_);
  if (left_by_ != nullptr) owner.thread = *left_by_;
  return owner;
}

size_t ProcessLock::Holders(uint32_t* tokens, size_t room) const {
  const uint32_t owner = OwnerToken();
  if (owner == 0) return 0;
  if (room > 0) tokens[0] = owner;
  return 1;
}

size_t ProcessLock::Waiters(uint32_t* tokens, size_t room) const {
  const ShortLock::Guard guard(&short_);
  return queue_.Tokens(tokens, room);
}

AcquireStatus ProcessLock::AcquireForFork(const ThreadIdentity& self, const Patience& patience) {
  if (!HeldByThreadOrLoop(self)) {
    const AcquireStatus status = Acquire(self, patience);
    for_fork_ = IsAcquired(status);
    return status;
  }
  // Above kMaxDepth if need be: what this thread holds is no obstacle to its fork.
  extra_depth_.fetch_add(1, kRelaxed);
  return AcquireStatus::kAcquired;
}

void ProcessLock::ReleaseAfterFork(const ThreadIdentity& self) {
  if (!HeldByThreadOrLoop(self)) return;
  const uint32_t extra = extra_depth_.load(kRelaxed);
  if (extra > 0) {
    extra_depth_.store(extra - 1, kRelaxed);
  } else if (HeldBy(self)) {  // not what was given to the event loop meanwhile
    for_fork_ = false;
    // A fork repairs nothing, and must not spoil it for those who can.
    Unlock(FreeWord(self) | (word_.load(kRelaxed) & kOrphaned));
  }
}

void ProcessLock::BeginHeldForFork(uint32_t token) {
  word_.store(kHeld | token, kRelaxed);
  for_fork_ = true;
}

bool ProcessLock::IsHeldForForkOnly(const ThreadIdentity& self) const { return HeldBy(self) && for_fork_; }

void ProcessLock::PrepareForFork(const ThreadIdentity& self, int64_t deadline) {
  // Whether it succeeded is in the word: from here to the other two handlers nobody else can make this thread the
  // owner.
  if (HeldByThreadOrLoop(self)) {
    extra_depth_.fetch_add(1, kRelaxed);
    return;
  }
  const uint32_t owner = OwnerToken();
  if (!IsAcquired(Acquire(self, Patience{deadline}))) NoteLeaver(owner);
}

void ProcessLock::AfterForkParent(const ThreadIdentity& self) { ReleaseAfterFork(self); }

ATFORK_IN_EVERY_CHILD void ProcessLock::AfterForkChild(const ThreadIdentity& self) {
  generation_.store(self.generation, kRelaxed);
  short_.Reset();
  queue_.Reset();
  const Waiter* const given_to = given_to_;
  given_to_ = nullptr;
  const uint32_t word = word_.load(kRelaxed);
  if (word == kNotRecoverable) return;

  const uint32_t orphaned = word & kOrphaned;
  if ((word & kOwner) == (kHeld | self.token)) {
    const uint32_t extra = extra_depth_.load(kRelaxed);
    extra_depth_.store(extra > 0 ? extra - 1 : 0, kRelaxed);
    word_.store(extra > 0 ? kHeld | self.token | orphaned : FreeWord(self) | orphaned, kRelaxed);
    return;
  }
  // A guard of this thread's event loop had it when prepare came by; or nobody yet, the loop having been given it.
  const bool untouched = HeldByThreadOrLoop(self) && given_to != nullptr && extra_depth_.load(kRelaxed) > 0;
  // Or somebody else, when prepare gave up. A word that is free by now proves nothing: memory is not copied all at
  // once, so the page with the word may be younger than a page with what it protects.
  extra_depth_.store(0, kRelaxed);
  word_.store(FreeWord(self) | (untouched ? orphaned : kOrphaned), kRelaxed);
}

bool ProcessLock::IsForeign(const ThreadIdentity& self) const { return self.generation != generation_.load(kRelaxed); }

bool ProcessLock::HeldByThreadOrLoop(const ThreadIdentity& self) const {
  return (word_.load(kRelaxed) & kOwner & ~kLoopOwner) == (kHeld | self.token);
}

// The owner gives up the lock, whose word becomes `free`, or kNotRecoverable, or that of the next owner.
void ProcessLock::Unlock(uint32_t free) {
  uint32_t word = word_.load(kRelaxed);
  if (free != kNotRecoverable) {
    // Nobody waits, or somebody is on its way: nobody to wake.
    while ((word & kWaiters) == 0 || (word & kAwake) != 0) {
      if (word_.compare_exchange_weak(word, free | (word & (kWaiters | kAwake)), kRelease, kRelaxed)) return;
    }
  }
  Wakeup wakeup;
  const int64_t now = MonotonicNanos();
  {
    const ShortLock::Guard guard(&short_);
    uint32_t next = free;
    if (free != kNotRecoverable) {
      next = Choose(now, free, &wakeup);
    } else {
      queue_.Rouse(&wakeup);  // whoever leaves rouses the others: Look
    }
    word_.store(next, kRelease);
  }
  wakeup.Send();
}

// Who is next, and so the word.
uint32_t ProcessLock::Choose(int64_t now, uint32_t free, Wakeup* wakeup) {
  if (IsBypassedFork()) queue_.Reset();  // those in it are the parent's
  Waiter* next = queue_.first();
  while (next != nullptr && !next->CanAct()) next = next->next;
  if (next != nullptr && now >= next->turn) {
    queue_.Remove(next);
    if (next->loop != nullptr) given_to_ = next;
    wakeup->Add(next, Waiter::kGranted);
    return kHeld | next->token | (free & kOrphaned) | (queue_.first() != nullptr ? kWaiters : 0);
  }
  queue_.Rouse(wakeup);
  if (queue_.first() == nullptr) return free;
  return free | kWaiters | (wakeup->HasThread() ? kAwake : 0);
}

void ProcessLock::NoteLeaver(uint32_t token) {
  if (left_by_ == nullptr) return;
  ThreadDescription leaver;
  GetProcessState()->threads.Describe(token, &leaver);
  const ShortLock::Guard guard(&short_);
  *left_by_ = leaver;
}

}  // namespace atfork

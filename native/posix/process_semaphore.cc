// process_semaphore.cc - n permits for the threads of one process, that a fork does not break.
// Runs in:  as process_lock.cc. Calls: futex(2), clock_gettime(2). Keeps errno. Allocates: no.
// Returns:  AcquireStatus. man: sem_overview(7), pthread_mutex_consistent(3).
#include "posix/process_semaphore.h"

#include <algorithm>
#include <climits>

#include "posix/bypassed_fork.h"
#include "posix/every_child.h"
#include "posix/lock_wait.h"
#include "posix/process_state.h"
#include "posix/wait_graph.h"

namespace atfork {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

constexpr uint32_t HolderOf(uint32_t permit) { return permit & kTokenMask; }
constexpr uint32_t ThreadOf(uint32_t permit) { return HolderOf(permit) & ~kLoopOwner; }

}  // namespace

AcquireStatus ProcessSemaphore::TryAcquire(const ThreadIdentity& self) {
  const ShortLock::Guard guard(&short_);
  if (IsForeign(self)) return AcquireStatus::kCancelled;
  if (lost_) return AcquireStatus::kNotRecoverable;
  return IsOpen(self.token) ? Take(self.token, 0) : AcquireStatus::kTimedOut;
}

AcquireStatus ProcessSemaphore::Acquire(const ThreadIdentity& self, const Patience& patience) {
  const AcquireStatus status = TryAcquire(self);
  if (status != AcquireStatus::kTimedOut || patience.deadline <= 0) return status;
  return Wait(this, self, patience);
}

AcquireStatus ProcessSemaphore::Look(Waiter* waiter, bool stays) {
  Wakeup wakeup;
  AcquireStatus status = AcquireStatus::kTimedOut;
  const int64_t now = MonotonicNanos();
  {
    const ShortLock::Guard guard(&short_);
    if (waiter->generation != generation_.load(kRelaxed))
      return AcquireStatus::kCancelled;  // its queue is the parent's
    RequeueSleepers(waiter);
    if (waiter->state.load(kRelaxed) == Waiter::kGranted) {
      status = Hear(waiter);
    } else if (lost_) {
      status = AcquireStatus::kNotRecoverable;
    } else if (IsOpen(waiter->token)) {
      status = Take(waiter->token, 0);
    }
    if (status != AcquireStatus::kTimedOut || !stays) {
      queue_.Remove(waiter);
    } else {
      waiter->state.store(Waiter::kAsleep, kRelaxed);
      if (!waiter->queued) queue_.Append(waiter);
    }
    Advance(now, &wakeup);
  }
  wakeup.Send();
  return status;
}

void ProcessSemaphore::Withdraw(Waiter* waiter) {
  if (IsAcquired(Look(waiter, false))) GiveBack(waiter->token, false);
}

bool ProcessSemaphore::ReleaseToken(uint32_t token) {
  {
    const ShortLock::Guard guard(&short_);
    const auto is_its = [token](uint32_t permit) { return HolderOf(permit) == token; };
    if (std::none_of(permits_, permits_ + used_, is_its)) return false;
  }
  GiveBack(token, true);
  return true;
}

// The last one that this holder took. `spoils`: without a repair that it was told to make, the semaphore is lost.
void ProcessSemaphore::GiveBack(uint32_t token, bool spoils) {
  Wakeup wakeup;
  bool fork_waits = false;
  const int64_t now = MonotonicNanos();
  {
    const ShortLock::Guard guard(&short_);
    Drop(token, spoils);
    Advance(now, &wakeup);
    fork_waits = closed_by_ != 0;
    if (fork_waits) changes_.fetch_add(1);
  }
  wakeup.Send();
  if (fork_waits) FutexWake(&changes_, INT_MAX);
}

bool ProcessSemaphore::MakeConsistentToken(uint32_t token) {
  const ShortLock::Guard guard(&short_);
  const auto is_its = [token](uint32_t permit) { return HolderOf(permit) == token; };
  if (std::none_of(permits_, permits_ + used_, is_its)) return false;
  orphaned_ = false;
  for (uint32_t i = 0; i < used_; ++i) permits_[i] &= ~kTold;
  return true;
}

void ProcessSemaphore::Abandon(const ThreadIdentity& self) {
  ThreadDescription leaver;
  GetProcessState()->threads.Describe(self.token, &leaver);
  Wakeup wakeup;
  bool fork_waits = false;
  const int64_t now = MonotonicNanos();
  {
    const ShortLock::Guard guard(&short_);
    if (IsForeign(self)) return;
    // Nobody was at work yet.
    Waiter* following = nullptr;
    for (Waiter* waiter = unheard_.first(); waiter != nullptr; waiter = following) {
      following = waiter->next;
      if (waiter->self->token == self.token) Requeue(waiter);
    }
    bool held = false;
    for (const uint32_t token : {self.token, self.token | kLoopOwner}) {
      while (Drop(token, false)) held = true;
    }
    if (held) {
      orphaned_ = true;
      left_by_ = leaver;
    }
    Advance(now, &wakeup);
    fork_waits = closed_by_ != 0;
    if (fork_waits) changes_.fetch_add(1);
  }
  wakeup.Send();
  if (fork_waits) FutexWake(&changes_, INT_MAX);
}

bool ProcessSemaphore::IsHeld() const {
  const ShortLock::Guard guard(&short_);
  return used_ == most_;
}

bool ProcessSemaphore::IsOrphaned() const {
  const ShortLock::Guard guard(&short_);
  return orphaned_ || lost_;
}

uint32_t ProcessSemaphore::OwnerToken() const {
  const ShortLock::Guard guard(&short_);
  if (closed_by_ != 0) return closed_by_;
  return most_ == 1 && used_ == 1 && (permits_[0] & kUnheard) == 0 ? HolderOf(permits_[0]) : 0;
}

std::optional<LockOwner> ProcessSemaphore::Owner() const {
  LockOwner owner;
  uint32_t token = 0;
  {
    const ShortLock::Guard guard(&short_);
    if (used_ == 0) {
      if (!orphaned_ && !lost_) return std::nullopt;
      owner.thread = left_by_;
      return owner;
    }
    token = HolderOf(permits_[0]);
    for (uint32_t i = 0; i < used_; ++i) owner.depth += HolderOf(permits_[i]) == token ? 1 : 0;
  }
  owner.is_loop = (token & kLoopOwner) != 0;
  GetProcessState()->threads.Describe(token, &owner.thread);
  return owner;
}

size_t ProcessSemaphore::Holders(uint32_t* tokens, size_t room) const {
  const ShortLock::Guard guard(&short_);
  for (size_t i = 0; i < std::min<size_t>(used_, room); ++i) tokens[i] = HolderOf(permits_[i]);
  return used_;
}

size_t ProcessSemaphore::Waiters(uint32_t* tokens, size_t room) const {
  const ShortLock::Guard guard(&short_);
  return queue_.Tokens(tokens, room);
}

AcquireStatus ProcessSemaphore::AcquireForFork(const ThreadIdentity& self, const Patience& patience) {
  constexpr size_t kLookedAt = 16;
  for (;;) {
    uint32_t seen = 0;
    {
      const ShortLock::Guard guard(&short_);
      if (IsForeign(self)) return AcquireStatus::kCancelled;
      if (lost_) return AcquireStatus::kNotRecoverable;
      if (closed_by_ == self.token) {
        // Another fork inside of one that has waited: a handler's.
        if (!HeldByOthers(self.token)) {
          ++closed_depth_;
          return AcquireStatus::kAcquired;
        }
      } else if (closed_by_ == 0) {
        closed_by_ = self.token;
        if (!HeldByOthers(self.token)) {
          closed_depth_ = 1;
          return AcquireStatus::kAcquired;
        }
      }
      seen = changes_.load();
    }
    AcquireStatus otherwise = AcquireStatus::kTimedOut;
    uint32_t holders[kLookedAt];
    const size_t count = std::min(Holders(holders, kLookedAt), kLookedAt);
    for (size_t i = 0; i < count; ++i) {
      const Lock* const awaited = GetProcessState()->threads.AwaitedBy(holders[i]);
      // Holders get what they want of this semaphore itself.
      if (awaited == nullptr || awaited == this || (holders[i] & kLoopOwner) != 0) continue;
      if (ClosesCircle(self, awaited, patience.circle)) {
        otherwise = AcquireStatus::kDeadlock;
      }
    }
    const int64_t now = MonotonicNanos();
    if (otherwise == AcquireStatus::kDeadlock || now >= patience.deadline) {
      Reopen(self);
      return otherwise;
    }
    static_cast<void>(FutexWait(&changes_, seen, std::min(patience.deadline, now + kForkingNap)));
  }
}

void ProcessSemaphore::ReleaseAfterFork(const ThreadIdentity& self) {
  {
    const ShortLock::Guard guard(&short_);
    if (closed_by_ != self.token) return;
    if (closed_depth_ > 1) {
      --closed_depth_;
      return;
    }
  }
  Reopen(self);
}

// Nobody but this thread, which forks no more, could have changed `closed_by_` since it was looked at.
void ProcessSemaphore::Reopen(const ThreadIdentity& self) {
  Wakeup wakeup;
  const int64_t now = MonotonicNanos();
  {
    const ShortLock::Guard guard(&short_);
    if (closed_by_ != self.token || closed_depth_ > 1) return;
    closed_by_ = closed_depth_ = 0;
    Advance(now, &wakeup);
    changes_.fetch_add(1);
  }
  wakeup.Send();
  FutexWake(&changes_, INT_MAX);
}

bool ProcessSemaphore::IsHeldForForkOnly(const ThreadIdentity& self) const {
  const ShortLock::Guard guard(&short_);
  // Asked of what others wait for, and this thread keeps from them.
  return used_ < most_ || HeldByOthers(self.token);
}

void ProcessSemaphore::PrepareForFork(const ThreadIdentity& self, int64_t deadline) {
  if (IsAcquired(AcquireForFork(self, Patience{deadline}))) return;
  ThreadDescription holder;
  uint32_t token = 0;
  if (Holders(&token, 1) > 0) GetProcessState()->threads.Describe(token, &holder);
  const ShortLock::Guard guard(&short_);
  left_by_ = holder;
}

ATFORK_IN_EVERY_CHILD void ProcessSemaphore::AfterForkChild(const ThreadIdentity& self) {
  generation_.store(self.generation, kRelaxed);
  short_.Reset();
  queue_.Reset();
  unheard_.Reset();
  // Somebody may have been at work when prepare gave up, or a guard of this thread's event loop was.
  bool whole = closed_by_ == self.token && closed_depth_ > 0;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < used_; ++i) {
    if (HolderOf(permits_[i]) == self.token) {
      permits_[kept++] = permits_[i];
    } else if ((permits_[i] & kUnheard) == 0) {
      whole = false;
    }
  }
  used_ = kept;
  orphaned_ = orphaned_ || !whole;
  if (closed_by_ == self.token && closed_depth_ > 1) {
    --closed_depth_;
  } else {
    closed_by_ = closed_depth_ = 0;
  }
}

bool ProcessSemaphore::IsForeign(const ThreadIdentity& self) const {
  return self.generation != generation_.load(kRelaxed);
}

AcquireStatus ProcessSemaphore::Take(uint32_t token, uint32_t flags) {
  permits_[used_++] = token | flags | (orphaned_ ? kTold : 0);
  return orphaned_ ? AcquireStatus::kOwnerDied : AcquireStatus::kAcquired;
}

// The permit that this waiter was given.
AcquireStatus ProcessSemaphore::Hear(Waiter* waiter) {
  unheard_.Remove(waiter);
  for (uint32_t i = 0; i < used_; ++i) {
    if (HolderOf(permits_[i]) != waiter->token || (waiter->loop != nullptr && (permits_[i] & kUnheard) == 0)) continue;
    permits_[i] = waiter->token | (orphaned_ ? kTold : 0);
    break;
  }
  return orphaned_ ? AcquireStatus::kOwnerDied : AcquireStatus::kAcquired;
}

// Loops that were given a permit, and cannot look because their thread has fallen asleep, go on waiting, in front.
void ProcessSemaphore::RequeueSleepers(const Waiter* but) {
  Waiter* following = nullptr;
  for (Waiter* waiter = unheard_.first(); waiter != nullptr; waiter = following) {
    following = waiter->next;
    if (waiter != but && !waiter->CanAct()) Requeue(waiter);
  }
}

void ProcessSemaphore::Requeue(Waiter* waiter) {
  unheard_.Remove(waiter);
  waiter->state.store(Waiter::kAsleep, kRelaxed);
  queue_.Prepend(waiter);
  for (uint32_t i = 0; i < used_; ++i) {
    if (HolderOf(permits_[i]) == waiter->token && (permits_[i] & kUnheard) != 0) return DropAt(i);
  }
}

bool ProcessSemaphore::Drop(uint32_t token, bool spoils) {
  uint32_t at = used_;
  while (at > 0 && HolderOf(permits_[at - 1]) != token) --at;
  if (at == 0) return false;
  if (spoils && orphaned_ && (permits_[at - 1] & kTold) != 0) lost_ = true;
  DropAt(at - 1);
  return true;
}

void ProcessSemaphore::DropAt(uint32_t at) {
  for (--used_; at < used_; ++at) permits_[at] = permits_[at + 1];
}

bool ProcessSemaphore::IsOpen(uint32_t token) const {
  if (used_ == most_) return false;
  if (closed_by_ == 0) return true;
  const uint32_t thread = ThreadOf(token);
  return thread == closed_by_ ||
         std::any_of(permits_, permits_ + used_, [thread](uint32_t permit) { return ThreadOf(permit) == thread; });
}

bool ProcessSemaphore::HeldByOthers(uint32_t token) const {
  return std::any_of(permits_, permits_ + used_, [token](uint32_t permit) { return ThreadOf(permit) != token; });
}

// Those in front of the queue get what there is, or look for themselves: as ProcessLock has it.
void ProcessSemaphore::Advance(int64_t now, Wakeup* wakeup) {
  if (queue_.first() != nullptr && IsBypassedFork()) queue_.Reset();  // those in it are the parent's
  Waiter* following = nullptr;
  for (Waiter* waiter = queue_.first(); waiter != nullptr && !lost_ && used_ < most_; waiter = following) {
    following = waiter->next;
    if (!waiter->CanAct() || !IsOpen(waiter->token)) continue;
    if (now < waiter->turn || !wakeup->HasRoomFor(*waiter)) break;
    queue_.Remove(waiter);
    Take(waiter->token, waiter->loop != nullptr ? kUnheard : 0);
    if (waiter->loop != nullptr) unheard_.Append(waiter);
    wakeup->Add(waiter, Waiter::kGranted);
  }
  if (lost_ || used_ < most_) queue_.Rouse(wakeup);
}

}  // namespace atfork

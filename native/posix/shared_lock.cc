// shared_lock.cc - a recursive lock for the threads of several processes; see shared_lock.h.
// Runs in:  any thread, either side of a fork; EnterChild in the child handler.
// Calls:    futex(2), clock_gettime(2), and those of presence.h, with contention and on a thread's first use. Keeps
// errno. Allocates: a Member on a thread's first use; errors. Returns:  AcquireStatus. man: futex(2), fcntl(2) (open
// file description locks), pthread_mutex_consistent(3).
#include "posix/shared_lock.h"

#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>

#include "posix/process_state.h"
#include "posix/shared_object.h"
#include "posix/spin.h"

namespace atfork {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kRelease = std::memory_order_release;

constexpr off_t kBell = offsetof(SharedPage, bell);

void Nap() {
  const timespec millisecond = {0, 1000 * 1000};
  nanosleep(&millisecond, nullptr);
}

}  // namespace

AcquireStatus SharedLock::TryAcquire(const ThreadIdentity& self, Error* failure) {
  if (IsForeign(self) || !Join(self, failure)) return AcquireStatus::kCancelled;
  const uint32_t token = TokenOf(self);
  if (HeldBy(token, self)) {
    const uint32_t extra = page_->extra_depth.load(kRelaxed);
    if (extra >= kMaxDepth - 1) return AcquireStatus::kTooDeep;
    page_->extra_depth.store(extra + 1, kRelaxed);
    return (page_->word.load(kRelaxed) & kOrphaned) != 0 ? AcquireStatus::kOwnerDied : AcquireStatus::kAcquired;
  }
  Claim claim = {token};
  return Look(self, &claim);
}

AcquireStatus SharedLock::Acquire(const ThreadIdentity& self, const Patience& patience, Error* failure) {
  AcquireStatus status = TryAcquire(self, failure);
  if (patience.deadline <= 0) return status;
  if (status == AcquireStatus::kTimedOut && IsHeldByLoopOf(self)) return AcquireStatus::kDeadlock;
  uint32_t word = 0;
  const auto is_decided = [this, &word] {
    word = page_->word.load(kRelaxed);
    return (word & kHeld) == 0 || (word & kReserved) != 0;
  };
  while (status == AcquireStatus::kTimedOut && SpinUntil(is_decided) && (word & kReserved) == 0) {
    Claim claim = {TokenOf(self)};
    status = Look(self, &claim);
  }
  return status == AcquireStatus::kTimedOut ? Wait(self, patience) : status;
}

AcquireStatus SharedLock::TryAcquireByLoop(const ThreadIdentity& self, int64_t waited, Error* failure) {
  if (IsForeign(self) || !Join(self, failure)) return AcquireStatus::kCancelled;
  Claim claim = {TokenOf(self) | kLoopOwner};
  claim.waits = true;
  claim.entitled = waited > 0;
  claim.starves = waited >= Waiter::kFair;
  return Look(self, &claim);
}

// Takes the lock if it may be had. Else: whoever gives it back is told that this claim waits, if it does.
AcquireStatus SharedLock::Look(const ThreadIdentity& self, Claim* claim) {
  const bool is_loop = (claim->token & kLoopOwner) != 0;
  const uint32_t waits = !claim->waits ? 0 : is_loop ? kLoopWaiters : kWaiters;
  uint32_t word = page_->word.load(kRelaxed);
  for (;;) {
    if (word == kNotRecoverable) return AcquireStatus::kNotRecoverable;
    if ((word & kHeld) == 0 && IsReservedFor(*claim, word)) {
      // A thread that was woken does not know whether others are asleep.
      const uint32_t others = is_loop ? 0 : waits;
      // Who has not waited that long leaves the reservation to the one who has.
      const uint32_t reserved = claim->entitled && !claim->starves ? word & kReserved : 0;
      const uint32_t next = (word & kFlags) | others | reserved | kHeld | claim->token;
      if (!page_->word.compare_exchange_weak(word, next, kAcquire, kRelaxed)) continue;
      return (word & kOrphaned) != 0 ? AcquireStatus::kOwnerDied : AcquireStatus::kAcquired;
    }
    if (IsGone(word)) {
      if (Bury(self, *claim, word)) return AcquireStatus::kOwnerDied;
      if (IsForeign(self)) return AcquireStatus::kCancelled;
      // Somebody else does, or has.
      const uint32_t now = page_->word.load(kRelaxed);
      if (now != word) {
        word = now;
        continue;
      }
    }
    const uint32_t next = word | waits | (claim->starves ? kReserved : 0);
    if (next != word && !page_->word.compare_exchange_weak(word, next, kRelaxed, kRelaxed)) continue;
    claim->seen = next;
    return AcquireStatus::kTimedOut;
  }
}

AcquireStatus SharedLock::Wait(const ThreadIdentity& self, const Patience& patience) {
  Claim claim = {TokenOf(self)};
  claim.waits = true;
  const int64_t since = MonotonicNanos();
  int64_t asked = since;
  int64_t nap = kFirstNap;
  for (;;) {
    // Asleep, and in `goes_on`, is where a thread of the parent's is parked and brought along in a child.
    if (IsForeign(self)) return AcquireStatus::kCancelled;
    const AcquireStatus status = Look(self, &claim);
    if (status != AcquireStatus::kTimedOut) return status;
    int64_t now = MonotonicNanos();
    if (now >= patience.deadline) return AcquireStatus::kTimedOut;
    if (!FutexWait(&page_->word, claim.seen, std::min(patience.deadline, now + nap), FutexScope::kShared)) {
      nap = std::min(2 * nap, kLongestNap);
    }
    now = MonotonicNanos();
    claim.entitled = true;
    claim.starves = now - since >= Waiter::kFair;
    if (patience.goes_on == nullptr || now - asked < Lock::kNap) continue;
    asked = now;
    if (!patience.goes_on(patience.arg)) return AcquireStatus::kCancelled;
  }
}

bool SharedLock::IsReservedFor(const Claim& claim, uint32_t word) const {
  if ((word & kReserved) == 0 || claim.entitled) return true;
  // Who made it may be gone, and all others with it.
  const uint64_t age =
      static_cast<uint64_t>(MonotonicNanos()) - static_cast<uint64_t>(page_->reserved_at.load(kRelaxed));
  return age > kReservation;
}

bool SharedLock::IsGone(uint32_t word) const {
  return (word & kHeld) != 0 && word != kNotRecoverable && !Presence::IsTaken(data_, TidOf(word));
}

bool SharedLock::Bury(const ThreadIdentity& self, const Claim& claim, uint32_t word) {
  const pid_t tid = TidOf(word);
  const ShortLock::Guard guard(&roll_lock_);
  if (IsForeign(self)) return false;  // it was asleep there
  for (const Member* each = members_.load(kRelaxed); each != nullptr; each = each->next) {
    if (each->token.load(kRelaxed) != 0 && each->tid.load(kRelaxed) == tid) return false;
  }
  if (!IsSameFile()) return false;
  // With its byte, no new thread can have its tid, so a word that names it means the dead one, however late we come.
  if (presence_.Take(tid) != Presence::Claim::kMine) return false;
  const uint32_t others = claim.waits && (claim.token & kLoopOwner) == 0 ? kWaiters : 0;
  uint32_t expected = word;
  const bool buried = page_->word.compare_exchange_strong(
      expected, (word & kFlags) | kOrphaned | others | kHeld | claim.token, kAcquire, kRelaxed);
  if (buried) {
    page_->extra_depth.store(0, kRelaxed);
    page_->left_by.store(static_cast<uint32_t>(tid), kRelaxed);
  }
  presence_.Give(tid);
  return buried;
}

// The program may have closed the descriptor, and its number be another file's now, where nobody has any byte.
bool SharedLock::IsSameFile() const {
  struct stat found;
  return fstat(data_, &found) == 0 && found.st_dev == device_ && found.st_ino == inode_;
}

bool SharedLock::ReleaseBy(uint32_t token, const ThreadIdentity& self) {
  if (!HeldBy(token, self)) return false;
  const uint32_t extra = page_->extra_depth.load(kRelaxed);
  if (extra > 0) {
    page_->extra_depth.store(extra - 1, kRelaxed);
  } else {
    Unlock((page_->word.load(kRelaxed) & kOrphaned) != 0 ? kNotRecoverable : 0);
  }
  return true;
}

bool SharedLock::MakeConsistentBy(uint32_t token, const ThreadIdentity& self) {
  if (!HeldBy(token, self)) return false;
  page_->word.fetch_and(~kOrphaned, kRelaxed);
  return true;
}

// The owner gives up the lock, whose word becomes `free`: 0, kOrphaned or kNotRecoverable.
void SharedLock::Unlock(uint32_t free) {
  const bool for_good = free == kNotRecoverable;
  uint32_t word = page_->word.load(kRelaxed);
  uint32_t next;
  do {
    next = free;
    if ((word & kReserved) != 0 && !for_good) {
      page_->reserved_at.store(MonotonicNanos(), kRelaxed);
      next |= kReserved;
    }
  } while (!page_->word.compare_exchange_weak(word, next, kRelease, kRelaxed));
  if ((word & kWaiters) != 0) FutexWake(&page_->word, for_good ? INT_MAX : 1, FutexScope::kShared);
  if ((word & kLoopWaiters) != 0) presence_.Ring(kBell);
}

bool SharedLock::IsHeld() const {
  const uint32_t word = page_->word.load(kRelaxed);
  return (word & kHeld) != 0 && word != kNotRecoverable && !IsGone(word);
}

bool SharedLock::IsOrphaned() const {
  const uint32_t word = page_->word.load(kRelaxed);
  return (word & kOrphaned) != 0 || IsGone(word);
}

std::optional<LockOwner> SharedLock::Owner() const {
  const uint32_t word = page_->word.load(kAcquire);
  LockOwner owner;
  if ((word & kHeld) != 0 && word != kNotRecoverable) {
    owner.thread = page_->Lookup(TidOf(word));
    owner.depth = IsGone(word) ? 0 : page_->extra_depth.load(kRelaxed) + 1;
    owner.is_loop = (word & kLoopOwner) != 0;
    return owner;
  }
  if ((word & kOrphaned) == 0) return std::nullopt;
  owner.thread = page_->Lookup(static_cast<pid_t>(page_->left_by.load(kRelaxed)));
  return owner;
}

bool SharedLock::IsHeldByLoopOf(const ThreadIdentity& self) const { return HeldBy(TokenOf(self) | kLoopOwner, self); }

bool SharedLock::HeldBy(uint32_t token, const ThreadIdentity& self) const {
  // On the roll: a tid alone may be that of a thread that is long gone.
  return (page_->word.load(kRelaxed) & kOwner) == (kHeld | token) && !IsForeign(self) && IsMember(self);
}

bool SharedLock::IsForeign(const ThreadIdentity& self) const {
  return self.generation != GetProcessState()->generation.load(kRelaxed);
}

bool SharedLock::IsMember(const ThreadIdentity& self) const {
  for (const Member* each = members_.load(kAcquire); each != nullptr; each = each->next) {
    if (each->token.load(kRelaxed) == self.token) return true;
  }
  return false;
}

bool SharedLock::Join(const ThreadIdentity& self, Error* failure) {
  if (IsMember(self)) return true;
  const int saved = errno;
  const int64_t deadline = MonotonicNanos() + kJoinPatience;
  ThreadDescription description;
  description.pid = self.pid;
  description.tid = self.tid;
  GetProcessState()->threads.Describe(self.token, &description);  // and its name
  for (;;) {
    Status added = Unit{};
    {
      const ShortLock::Guard guard(&roll_lock_);
      if (IsForeign(self)) return false;  // it was asleep there
      added = AddMember(self, description);
    }
    // EBUSY: somebody who wants to bury one of that tid has the byte, for an instant.
    if (!added.ok() && added.error().errnum == EBUSY && MonotonicNanos() < deadline) {
      Nap();
      continue;
    }
    if (!added.ok() && failure != nullptr) *failure = added.error();
    errno = saved;
    return added.ok();
  }
}

Status SharedLock::AddMember(const ThreadIdentity& self, const ThreadDescription& description) {
  const Status same = CheckNamespace(page_->namespace_device, page_->namespace_inode, "the shared lock");
  if (!same.ok()) return same;
  const Status opened = presence_.Open(data_);
  if (!opened.ok()) return opened;
  Member* member = members_.load(kRelaxed);
  while (member != nullptr && member->token.load(kRelaxed) != 0) member = member->next;
  if (member == nullptr) {
    member = new (std::nothrow) Member;
    if (member == nullptr) return Error::Errno("", "shared lock", ENOMEM);
    member->next = members_.load(kRelaxed);
    members_.store(member, kRelease);
  }
  switch (presence_.Take(self.tid)) {
    case Presence::Claim::kMine:
      break;
    case Presence::Claim::kAnothers:
      return Error::Errno("fcntl", "shared lock", EBUSY);
    case Presence::Claim::kFailed:
      return Error::Errno("fcntl", "shared lock");
  }
  // One of this tid held the lock when it ended, or this thread would have it.
  uint32_t word = page_->word.load(kRelaxed);
  while ((word & kHeld) != 0 && word != kNotRecoverable && TidOf(word) == self.tid) {
    page_->extra_depth.store(0, kRelaxed);  // nobody else can bury it meanwhile
    page_->left_by.store(static_cast<uint32_t>(self.tid), kRelaxed);
    if (page_->word.compare_exchange_weak(word, (word & kFlags) | kOrphaned, kRelaxed)) break;
  }
  page_->Describe(description, data_);
  member->tid.store(self.tid, kRelaxed);
  member->token.store(self.token, kRelease);
  if (self.tid == self.pid) {
    main_thread_[0] = TokenOf(self);
    main_thread_[1] = 0;
  }
  return Unit{};
}

void SharedLock::Leave(uint32_t token, const ThreadIdentity& self) {
  if (!HeldBy(token, self)) return;
  page_->extra_depth.store(0, kRelaxed);
  page_->left_by.store(static_cast<uint32_t>(self.tid), kRelaxed);
  Unlock(kOrphaned);
}

void SharedLock::Abandon(const ThreadIdentity& self) {
  if (IsForeign(self) || !IsMember(self)) return;
  Leave(TokenOf(self), self);
  Leave(TokenOf(self) | kLoopOwner, self);
  const ShortLock::Guard guard(&roll_lock_);
  if (IsForeign(self)) return;  // it was asleep there
  if (self.tid == self.pid) main_thread_[1] = kNever;
  for (Member* each = members_.load(kRelaxed); each != nullptr; each = each->next) {
    if (each->token.load(kRelaxed) == self.token) each->token.store(0, kRelaxed);
  }
  presence_.Give(self.tid);
}

Status SharedLock::Enter() {
  const int64_t deadline = MonotonicNanos() + kJoinPatience;
  for (;;) {
    Status opened = Unit{};
    {
      const ShortLock::Guard guard(&roll_lock_);
      opened = presence_.Open(data_);
    }
    if (opened.ok() || opened.error().errnum != EBUSY || MonotonicNanos() >= deadline) return opened;
    Nap();
  }
}

void SharedLock::EnterChild() {
  roll_lock_.Reset();
  if (page_ != nullptr) presence_.Reopen(data_);
  ForgetMembers();
}

// With the roll goes what other threads of this process have left held: it is orphaned.
void SharedLock::Forget() {
  presence_.Close();
  ForgetMembers();
}

void SharedLock::ForgetMembers() {
  for (Member* each = members_.load(kRelaxed); each != nullptr; each = each->next) each->token.store(0, kRelaxed);
  main_thread_[0] = 0;
  main_thread_[1] = kNever;
}

}  // namespace atfork

// shared_lock.h - a recursive lock for the threads of several processes, that no end of any of them breaks.
//
// What they share is one page (shared_page.h, with the bits of the word). Owners are threads, by their tid, or guards
// of a thread's event loop. Whether an owner is there still, the kernel says (presence.h): whoever waits asks it now
// and then, since nobody else would tell it of an owner that was killed.
//
// Kills: at every store another process may end. So nothing that is shared is needed to be right but the word, which
// changes in one step; a wake-up that a killed process owed is made up for by the naps of those who wait, which are
// bounded; and a reservation whose waiter is gone falls to anybody after kReservation.
//
// Orphaned: as with ProcessLock, and pthread_mutex_consistent(3).
//
// Fork: the lock is one thing for parent and child, so neither side takes it for a fork, and the child does not hold
// what its parent holds. Threads that were brought back in a child of our fork belong to the parent's threads, and
// their tids are those: they are refused, before they can reach the word. So they may not have code in JavaScript that
// would: only the main thread, which is the one that forks, has its tid where JavaScript reads it.
//
// A process that is stopped in the middle of burying an owner, or of taking a name away, makes others wait until it
// goes on.
//
// Between users nothing is believed (shared_page.h). But the memory of a named lock is a file, which cannot be sealed:
// a process of the same user could make it smaller, and end those that use it.
#ifndef ATFORK_POSIX_SHARED_LOCK_H_
#define ATFORK_POSIX_SHARED_LOCK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "posix/fork_participant.h"
#include "posix/lock.h"
#include "posix/presence.h"
#include "posix/result.h"
#include "posix/shared_page.h"
#include "posix/short_lock.h"

namespace atfork {

class SharedLock {
 public:
  static constexpr uint32_t kMaxDepth = 1u << 30;
  // The word and the depth beyond it: lib/internal/lock-words.ts works on these two.
  static constexpr size_t kViewSize = 2 * sizeof(uint32_t);

  SharedLock() = default;
  SharedLock(const SharedLock&) = delete;
  SharedLock& operator=(const SharedLock&) = delete;

  // As Lock's. kCancelled also when this thread could not put itself on the roll: `failure`, if not null, has why.
  AcquireStatus TryAcquire(const ThreadIdentity& self, Error* failure = nullptr);
  AcquireStatus Acquire(const ThreadIdentity& self, const Patience& patience, Error* failure = nullptr);
  [[nodiscard]] bool Release(const ThreadIdentity& self) { return ReleaseBy(TokenOf(self), self); }
  [[nodiscard]] bool MakeConsistent(const ThreadIdentity& self) { return MakeConsistentBy(TokenOf(self), self); }

  // For this thread's event loop, which is called back when the file of the lock is written to. `waited`: nanoseconds;
  // 0: it comes by for the first time. kTimedOut: it is written to when there is something to be had.
  AcquireStatus TryAcquireByLoop(const ThreadIdentity& self, int64_t waited, Error* failure = nullptr);
  [[nodiscard]] bool ReleaseByLoop(const ThreadIdentity& self) { return ReleaseBy(TokenOf(self) | kLoopOwner, self); }
  [[nodiscard]] bool MakeConsistentByLoop(const ThreadIdentity& self) {
    return MakeConsistentBy(TokenOf(self) | kLoopOwner, self);
  }

  bool IsHeld() const;
  bool IsOrphaned() const;
  std::optional<LockOwner> Owner() const;
  // Whether a guard of this thread's own event loop holds it: a wait for it would never end.
  bool IsHeldByLoopOf(const ThreadIdentity& self) const;
  // Or the thread itself.
  bool IsHeldBy(const ThreadIdentity& self) const { return HeldBy(TokenOf(self), self) || IsHeldByLoopOf(self); }

  int fd() const { return data_; }
  void* view() { return &page_->word; }
  size_t page_size() const { return SharedPage::kSize; }
  // {the main thread's part of the word, what the word of a free lock is}: as ThreadIdentity's first two.
  void* main_thread_view() { return main_thread_; }

  // This process uses it, from the start: see Presence::Open.
  Status Enter();
  // This thread ends.
  void Abandon(const ThreadIdentity& self);
  // Child handler.
  void EnterChild();

 private:
  friend class SharedLocks;

  static constexpr uint32_t kWaiters = 1u << 31;
  static constexpr uint32_t kOrphaned = 1u << 30;
  static constexpr uint32_t kHeld = 1u << 29;
  static constexpr uint32_t kReserved = 1u << 26;
  static constexpr uint32_t kLoopWaiters = 1u << 27;
  static constexpr uint32_t kTokens = SharedPage::kTokens;
  static constexpr uint32_t kOwner = kHeld | kTokens;
  static constexpr uint32_t kFlags = kWaiters | kLoopWaiters | kOrphaned;
  static constexpr uint32_t kNotRecoverable = kOrphaned | kHeld | kTokens;  // no thread has this tid
  // What no word is: held by a tid of 0.
  static constexpr uint32_t kNever = kHeld;

  // Nanoseconds. The first nap of a waiter, and the longest: so long is a killed process's wake-up overdue at most.
  static constexpr int64_t kFirstNap = 1000 * 1000;
  static constexpr int64_t kLongestNap = 64 * 1000 * 1000;
  static constexpr int64_t kReservation = 10 * 1000 * 1000;
  // How long a thread tries to get its byte, which somebody may have for a moment: see Bury.
  static constexpr int64_t kJoinPatience = 1000 * 1000 * 1000;

  // A thread of this process that is on the roll. Never freed; a token of 0: nobody's now.
  struct Member {
    std::atomic<uint32_t> token{0};  // ThreadIdentity's
    std::atomic<pid_t> tid{0};
    Member* next = nullptr;
  };

  static uint32_t TokenOf(const ThreadIdentity& self) { return static_cast<uint32_t>(self.tid) << 1; }
  static pid_t TidOf(uint32_t word) { return SharedPage::TidOf(word); }

  // True: the thread is on the roll.
  bool Join(const ThreadIdentity& self, Error* failure);
  bool IsMember(const ThreadIdentity& self) const;
  Status AddMember(const ThreadIdentity& self, const ThreadDescription& description);

  // No thread of this process is on the roll, nor does it use the object.
  void Forget();
  void ForgetMembers();

  // How the lock is wanted: by whom, and with what right.
  struct Claim {
    uint32_t token;
    bool waits = false;     // it is told when the lock is free
    bool entitled = false;  // it has waited, so a reservation is its own
    bool starves = false;   // for so long that it makes one
    uint32_t seen = 0;      // out: the word that was not to be had
  };
  AcquireStatus Look(const ThreadIdentity& self, Claim* claim);
  AcquireStatus Wait(const ThreadIdentity& self, const Patience& patience);
  bool IsReservedFor(const Claim& claim, uint32_t word) const;
  bool IsGone(uint32_t word) const;
  bool IsSameFile() const;
  // The owner that `word` names is gone: the lock is `claim`'s. False: it is there, or the word has changed.
  bool Bury(const ThreadIdentity& self, const Claim& claim, uint32_t word);
  void Leave(uint32_t token, const ThreadIdentity& self);

  bool HeldBy(uint32_t token, const ThreadIdentity& self) const;
  bool ReleaseBy(uint32_t token, const ThreadIdentity& self);
  bool MakeConsistentBy(uint32_t token, const ThreadIdentity& self);
  void Unlock(uint32_t free);
  bool IsForeign(const ThreadIdentity& self) const;

  // Set by SharedLocks.
  SharedPage* page_ = nullptr;
  int data_ = -1;
  uint64_t device_ = 0;
  uint64_t inode_ = 0;
  uint32_t users_ = 0;
  std::atomic<SharedLock*> next_{nullptr};

  alignas(8) uint32_t main_thread_[2] = {0, kNever};
  std::atomic<Member*> members_{nullptr};
  // Guards the roll, and changes of the members. System calls are made under it, none in which a thread is parked; and
  // every fork takes it, so that no child has half of a change.
  mutable ShortLock roll_lock_;
  mutable Presence presence_;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_SHARED_LOCK_H_

// process_lock.h - a recursive lock for the threads of one process, that a fork does not break.
//
// One 32-bit word says who holds the lock:
//
//   bits 0-27  held: the owner's token (thread_identity.h). Free: the generation of this process
//   bit 28     awake: a thread is on its way to the lock by itself, so a release need not wake another
//   bit 29     held
//   bit 30     orphaned: an owner ended while it held the lock, so what the lock protects may be half done
//   bit 31     somebody waits in the queue
//
// Without contention that is one compare-and-swap to take it and one to give it back, and no system call; JavaScript
// does both by itself (lib/internal/lock-words.ts). Not a pthread mutex: its owner is a tid, which the child of a fork
// does not have, so a recursive one locked before the fork could never be unlocked after it.
//
// Owners are threads, recursively, or a thread's event loop (kLoopOwner), once: which of its guards, JavaScript knows.
//
// Fairness: whoever comes by takes a free lock, and a woken waiter has to be quick, which is what makes short sections
// fast. One that was not quick enough is not woken in vain again and again, which costs each release a system call: it
// looks by itself every kShortNap. But when the turn of the first one in the queue has come (Waiter::kFair), the next
// release gives it the lock; a thread that has napped until then awaits that without falling asleep.
//
// Orphaned, as with robust mutexes (pthread_mutex_consistent(3)): the next acquire succeeds and says kOwnerDied; the
// holder repairs the state and calls MakeConsistent. If it releases without that, nobody gets the lock any more.
//
// Fork: PrepareForFork takes the lock, one level deeper if the forking thread has it already, and the two others give
// that level back. The child starts with the lock free, or held as deep as the forking thread held it, and with nobody
// in its queue. What a guard of the forking thread's event loop held is orphaned there, as that guard is the parent's.
// Our own fork() calls AcquireForFork first, with as much patience as its caller has. A fork that is not ours (libuv's
// spawn, any library's) must not wait for a lock that it knows nothing about: PrepareForFork gives up at its deadline,
// and the child then finds the lock orphaned, because somebody may have been at work under it.
//
// Threads that were brought back in the child of our fork (`self.generation` is that of the parent) never get the lock:
// a free one has another word there than the one they know.
#ifndef ATFORK_POSIX_PROCESS_LOCK_H_
#define ATFORK_POSIX_PROCESS_LOCK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "posix/lock.h"
#include "posix/short_lock.h"

namespace atfork {

class ProcessLock final : public Lock {
 public:
  static constexpr uint32_t kMaxDepth = 1u << 30;
  // The word and how often the owner holds it beyond once: lib/internal/lock-words.ts works on these two.
  static constexpr uint32_t kViewSize = 2 * sizeof(uint32_t);

  // `generation`: that of the process that the lock is made in. `left_by`: room for who left it behind, which stays;
  // null: nobody is told.
  explicit constexpr ProcessLock(uint32_t generation = 0, ParticipantKind its_kind = ParticipantKind::kLock,
                                 const char* its_name = "", int its_rank = 0, ThreadDescription* left_by = nullptr)
      : Lock(its_kind, its_name, its_rank),
        word_(generation & kTokenMask),
        generation_(generation),
        left_by_(left_by) {}

  AcquireStatus TryAcquire(const ThreadIdentity& self) override;
  AcquireStatus Acquire(const ThreadIdentity& self, const Patience& patience) override;
  AcquireStatus Acquire(const ThreadIdentity& self, int64_t deadline) { return Acquire(self, Patience{deadline}); }
  [[nodiscard]] bool Release(const ThreadIdentity& self) override { return ReleaseToken(self.token, self); }
  [[nodiscard]] bool MakeConsistent(const ThreadIdentity& self) override { return MakeConsistentToken(self.token); }
  void Abandon(const ThreadIdentity& self) override;

  AcquireStatus Enqueue(Waiter* waiter) override { return Look(waiter, true); }
  AcquireStatus Claim(Waiter* waiter) override { return Look(waiter, true); }
  AcquireStatus Leave(Waiter* waiter) override { return Look(waiter, false); }
  void Withdraw(Waiter* waiter) override;
  [[nodiscard]] bool ReleaseByLoop(const ThreadIdentity& self) override {
    return ReleaseToken(self.token | kLoopOwner, self);
  }
  [[nodiscard]] bool MakeConsistentByLoop(const ThreadIdentity& self) override {
    return MakeConsistentToken(self.token | kLoopOwner);
  }

  bool HeldBy(const ThreadIdentity& self) const { return HeldByToken(self.token); }
  bool IsHeld() const override;
  bool IsOrphaned() const override;
  uint32_t OwnerToken() const override;
  std::optional<LockOwner> Owner() const override;
  size_t Holders(uint32_t* tokens, size_t room) const override;
  size_t Waiters(uint32_t* tokens, size_t room) const override;

  AcquireStatus AcquireForFork(const ThreadIdentity& self, const Patience& patience) override;
  AcquireStatus AcquireForFork(const ThreadIdentity& self, int64_t deadline) {
    return AcquireForFork(self, Patience{deadline});
  }
  void ReleaseAfterFork(const ThreadIdentity& self) override;
  void BeginHeldForFork(uint32_t token) override;
  bool IsHeldForForkOnly(const ThreadIdentity& self) const override;

  void PrepareForFork(const ThreadIdentity& self, int64_t deadline) override;
  void AfterForkParent(const ThreadIdentity& self) override;
  void AfterForkChild(const ThreadIdentity& self) override;

  void* view() { return &word_; }

 private:
  static constexpr uint32_t kWaiters = 1u << 31;
  static constexpr uint32_t kOrphaned = 1u << 30;
  static constexpr uint32_t kHeld = 1u << 29;
  static constexpr uint32_t kAwake = 1u << 28;
  static constexpr uint32_t kOwner = kHeld | kTokenMask;
  static constexpr uint32_t kNotRecoverable = kOrphaned | kHeld | kTokenMask;  // no thread has this token

  // Nanoseconds. A free lock is found so late; a busy one is looked at so often.
  static constexpr int64_t kShortNap = 100 * 1000;

  static constexpr uint32_t FreeWord(const ThreadIdentity& self) { return self.generation & kTokenMask; }
  bool IsForeign(const ThreadIdentity& self) const;
  bool HeldByToken(uint32_t token) const { return (word_.load(std::memory_order_relaxed) & kOwner) == (kHeld | token); }
  bool HeldByThreadOrLoop(const ThreadIdentity& self) const;
  AcquireStatus Look(Waiter* waiter, bool stays);
  bool ReleaseToken(uint32_t token, const ThreadIdentity& self);
  bool MakeConsistentToken(uint32_t token);
  void Unlock(uint32_t free);
  uint32_t Choose(int64_t now, uint32_t free, Wakeup* wakeup);
  void Requeue();
  void NoteLeaver(uint32_t token);

  // The owner took it for its fork. Written by the owner.
  bool for_fork_ = false;
  // See kViewSize.
  std::atomic<uint32_t> word_;
  // How often the owner holds it beyond once. Written by the owner.
  std::atomic<uint32_t> extra_depth_{0};
  std::atomic<uint32_t> generation_;  // of this process; written in the child handler only

  // Guards what follows.
  mutable ShortLock short_;
  ThreadDescription* const left_by_;
  // The event loop that the lock was given to, and that has not looked yet.
  Waiter* given_to_ = nullptr;
  LockQueue queue_;
};

// Every fork writes to every lock, and copies the pages that they lie in (LockRoom): 56 of them in each. The words of
// two lie in two cache lines all the same.
static_assert(sizeof(ProcessLock) == 72);

}  // namespace atfork

#endif  // ATFORK_POSIX_PROCESS_LOCK_H_

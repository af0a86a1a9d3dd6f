// process_semaphore.h - n permits for the threads of one process, that a fork does not break.
//
// Unlike those of sem_overview(7) it knows who holds its permits: only a holder gives one back, and when a holder ends,
// the semaphore is orphaned, by the rules of ProcessLock. A thread may hold several; each acquisition takes another
// one.
//
// Fork: nobody else takes a permit while a fork is prepared, and the fork waits until nobody but the forking thread
// holds one. The child has those that the forking thread held. A fork that is not ours gives up at its deadline; the
// child then finds the semaphore orphaned.
//
// Everything is done under a ShortLock: who wants a semaphore means to wait for something longer than that.
#ifndef ATFORK_POSIX_PROCESS_SEMAPHORE_H_
#define ATFORK_POSIX_PROCESS_SEMAPHORE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "posix/lock.h"
#include "posix/short_lock.h"

namespace atfork {

class ProcessSemaphore final : public Lock {
 public:
  static constexpr uint32_t kMost = 65535;

  // `permits`: room for `count` of them, which stays. `generation`: that of the process that it is made in.
  ProcessSemaphore(uint32_t generation, const char* its_name, int its_rank, uint32_t* permits, uint32_t count)
      : Lock(ParticipantKind::kSemaphore, its_name, its_rank),
        most_(count),
        permits_(permits),
        generation_(generation) {}

  uint32_t most() const { return most_; }

  AcquireStatus TryAcquire(const ThreadIdentity& self) override;
  AcquireStatus Acquire(const ThreadIdentity& self, const Patience& patience) override;
  [[nodiscard]] bool Release(const ThreadIdentity& self) override { return ReleaseToken(self.token); }
  [[nodiscard]] bool MakeConsistent(const ThreadIdentity& self) override { return MakeConsistentToken(self.token); }
  void Abandon(const ThreadIdentity& self) override;

  AcquireStatus Enqueue(Waiter* waiter) override { return Look(waiter, true); }
  AcquireStatus Claim(Waiter* waiter) override { return Look(waiter, true); }
  AcquireStatus Leave(Waiter* waiter) override { return Look(waiter, false); }
  void Withdraw(Waiter* waiter) override;
  [[nodiscard]] bool ReleaseByLoop(const ThreadIdentity& self) override {
    return ReleaseToken(self.token | kLoopOwner);
  }
  [[nodiscard]] bool MakeConsistentByLoop(const ThreadIdentity& self) override {
    return MakeConsistentToken(self.token | kLoopOwner);
  }

  bool IsHeld() const override;
  bool IsOrphaned() const override;
  uint32_t OwnerToken() const override;
  std::optional<LockOwner> Owner() const override;
  size_t Holders(uint32_t* tokens, size_t room) const override;
  size_t Waiters(uint32_t* tokens, size_t room) const override;

  AcquireStatus AcquireForFork(const ThreadIdentity& self, const Patience& patience) override;
  void ReleaseAfterFork(const ThreadIdentity& self) override;
  void BeginHeldForFork(uint32_t token) override {
    closed_by_ = token;
    closed_depth_ = 1;
  }
  bool IsHeldForForkOnly(const ThreadIdentity& self) const override;

  void PrepareForFork(const ThreadIdentity& self, int64_t deadline) override;
  void AfterForkParent(const ThreadIdentity& self) override { ReleaseAfterFork(self); }
  void AfterForkChild(const ThreadIdentity& self) override;

 private:
  // In a permit, beside its holder's token.
  static constexpr uint32_t kUnheard = 1u << 31;  // an event loop was given it, and has not looked yet
  static constexpr uint32_t kTold = 1u << 30;     // its holder was told that an owner died

  bool IsForeign(const ThreadIdentity& self) const;
  AcquireStatus Look(Waiter* waiter, bool stays);
  bool ReleaseToken(uint32_t token);
  bool MakeConsistentToken(uint32_t token);
  void GiveBack(uint32_t token, bool spoils);
  void Reopen(const ThreadIdentity& self);

  // With the ShortLock held.
  bool IsOpen(uint32_t token) const;
  AcquireStatus Take(uint32_t token, uint32_t flags);
  AcquireStatus Hear(Waiter* waiter);
  void RequeueSleepers(const Waiter* but);
  void Requeue(Waiter* waiter);
  bool Drop(uint32_t token, bool spoils);
  void DropAt(uint32_t at);
  bool HeldByOthers(uint32_t token) const;
  void Advance(int64_t now, Wakeup* wakeup);

  const uint32_t most_;
  uint32_t* const permits_;           // the first `used_` are taken, in order of acquisition
  std::atomic<uint32_t> generation_;  // of this process; written in the child handler only
  std::atomic<uint32_t> changes_{0};  // a futex: forks wait for permits to come back

  // Guards what follows, and the permits.
  mutable ShortLock short_;
  uint32_t used_ = 0;
  bool orphaned_ = false;
  bool lost_ = false;
  // The token of the thread that forks, and how many of its forks, one inside the other, are under way.
  uint32_t closed_by_ = 0;
  uint32_t closed_depth_ = 0;
  LockQueue queue_;
  // Loops that were given a permit, and have not looked yet.
  LockQueue unheard_;
  ThreadDescription left_by_;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_PROCESS_SEMAPHORE_H_

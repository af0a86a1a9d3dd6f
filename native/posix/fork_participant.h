// fork_participant.h - what a fork takes before it happens, and both sides of it put right.
//
// The registry (lock_registry.h) has all of them, in order of rank. `self` is the forking thread, always.
#ifndef ATFORK_POSIX_FORK_PARTICIPANT_H_
#define ATFORK_POSIX_FORK_PARTICIPANT_H_

#include <atomic>
#include <cstdint>

#include "posix/futex.h"
#include "posix/thread_identity.h"

namespace atfork {

struct Circle;

enum class AcquireStatus {
  kAcquired,
  kOwnerDied,       // acquired; its last owner ended while holding it, and nobody has called MakeConsistent since
  kTimedOut,        // another thread holds it
  kNotRecoverable,  // for ever: it was orphaned, and released without MakeConsistent
  kCancelled,       // this thread takes no lock any more: it belongs to the parent of this process
  kTooDeep,         // held by this thread more often than can be counted; or there is no memory for it
  kDeadlock,        // its owner waits, perhaps by way of others, for a lock that this thread holds
  kBypassed,        // another thread holds it, perhaps one of the parent's: see bypassed_fork.h
};

constexpr bool IsAcquired(AcquireStatus status) {
  return status == AcquireStatus::kAcquired || status == AcquireStatus::kOwnerDied;
}

// How long to wait, and what to do meanwhile.
struct Patience {
  int64_t deadline = kNoDeadline;  // MonotonicNanos() + what it may take
  // Asked every Lock::kNap: whether to go on waiting. Null: yes.
  bool (*goes_on)(void* arg) = nullptr;
  void* arg = nullptr;
  // Where to say who waits for whom, with kDeadlock.
  Circle* circle = nullptr;
};

enum class ParticipantKind : uint8_t { kGlobalLock, kLock, kSemaphore, kMutex };

class ForkParticipant {
 public:
  // A thread that takes all of them looks this often (ns) for who waits for whom.
  static constexpr int64_t kForkingNap = 5 * 1000 * 1000;

  constexpr ForkParticipant(ParticipantKind its_kind, const char* its_name, int its_rank)
      : name(its_name), rank(its_rank), kind(its_kind) {}
  ForkParticipant(const ForkParticipant&) = delete;
  ForkParticipant& operator=(const ForkParticipant&) = delete;

  // Our fork(), before anything is forked: not acquired means no fork, and nothing has changed; but kNotRecoverable
  // stands in nobody's way. ReleaseAfterFork undoes it: in the parent, in the child, or when there was no fork after
  // all.
  virtual AcquireStatus AcquireForFork(const ThreadIdentity& self, const Patience& patience) = 0;
  virtual void ReleaseAfterFork(const ThreadIdentity& self) = 0;

  // Every fork(), from the at-fork handlers. In the child `self` belongs to the child already.
  virtual void PrepareForFork(const ThreadIdentity& self, int64_t deadline) = 0;
  virtual void AfterForkParent(const ThreadIdentity& self) = 0;
  virtual void AfterForkChild(const ThreadIdentity& self) = 0;

  // It was made while our fork is under way on the thread of that token, which has it from the start.
  virtual void BeginHeldForFork(uint32_t token) = 0;

  // This thread ends: what it and its event loop hold is orphaned.
  virtual void Abandon(const ThreadIdentity& self) = 0;

  const char* const name;  // in memory that stays
  // The registry's, as is held_for_fork.
  std::atomic<ForkParticipant*> next{nullptr};
  // Who has a low one is taken first.
  const int rank;
  const ParticipantKind kind;
  bool held_for_fork = false;

 protected:
  ~ForkParticipant() = default;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_FORK_PARTICIPANT_H_

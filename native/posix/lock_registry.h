// lock_registry.h - all locks of this process, mutexes that others have handed over among them, and what every fork
// does with them.
//
// They stay for the life of the process, in order of rank and, within a rank, of creation: the order in which a fork
// takes them. Who holds several at a time and takes them in that order never stands in a fork's way. Who does not may
// hold one that the fork wants while it waits for one that the fork has taken: the fork then gives back what it has,
// and begins with the other one. Only a lock that the forking thread held already cannot be given back. That is a
// deadlock.
//
// Runs in:  any thread; around a fork see lock.h. Calls: what locks do. Allocates: in Explain alone.
#ifndef ATFORK_POSIX_LOCK_REGISTRY_H_
#define ATFORK_POSIX_LOCK_REGISTRY_H_

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <string>

#include "posix/lock.h"
#include "posix/short_lock.h"
#include "posix/wait_graph.h"

namespace atfork {

// Why a fork cannot take all locks.
struct LocksRefusal {
  AcquireStatus status = AcquireStatus::kAcquired;
  ForkParticipant* participant = nullptr;
  Circle circle;            // with kDeadlock; the last one is this thread's
  bool is_of_fork = false;  // which holds that for its fork only
};

// `'a', which worker 3 (thread 12) holds and waits for 'b', which this thread holds`
std::string Explain(const Circle& circle);

class LockRegistry {
 public:
  // A fork that is not ours waits for all locks together for so long (ns). It blocks libuv's event loop, so no longer
  // than the fork of a blank Node itself takes; long enough for the usual short section to end.
  static constexpr int64_t kForeignForkWait = 1000 * 1000;

  // `first` is the global lock.
  explicit constexpr LockRegistry(ForkParticipant* first) : first_(first) {}
  LockRegistry(const LockRegistry&) = delete;
  LockRegistry& operator=(const LockRegistry&) = delete;

  ForkParticipant* first() const { return first_.load(std::memory_order_acquire); }
  ForkParticipant* Find(const char* name, ParticipantKind kind) const;
  // `made` is one of those from now on. Returns it, or the one of its name and kind that was there before; null: this
  // thread belongs to the parent of this process.
  ForkParticipant* Add(ForkParticipant* made, const ThreadIdentity& self);
  // A lock that others wait for, and this thread holds for its fork only; null: none.
  const Lock* HeldUpByFork(const ThreadIdentity& self) const;

  // Our fork(). Either all, or none and why.
  bool AcquireAllForFork(const ThreadIdentity& self, int64_t deadline, LocksRefusal* refusal);
  void ReleaseAllAfterFork(const ThreadIdentity& self);

  void PrepareAllForFork(const ThreadIdentity& self);
  void AllAfterForkParent(const ThreadIdentity& self);
  void AllAfterForkChild(const ThreadIdentity& self);
  void AbandonAll(const ThreadIdentity& self);
  // The mutexes alone, whoever the calling thread is.
  void AbandonMutexes();
  // Whether it is one of those that forks take. Async-signal-safe.
  bool HasMutex(const pthread_mutex_t* mutex) const;

 private:
  static ForkParticipant* Next(const ForkParticipant* each) { return each->next.load(std::memory_order_acquire); }
  static int MoveToFront(ForkParticipant* participant, ForkParticipant** list, int count);
  bool TryAllForFork(const ThreadIdentity& self, const Patience& patience, ForkParticipant* const* earliest, int count,
                     LocksRefusal* refusal);
  bool CloseForFork(const ThreadIdentity& self);

  static constexpr int kMostEarliest = 16;

  std::atomic<ForkParticipant*> first_;
  ShortLock adding_;
  // The token of the thread of our fork, while it has all of them.
  uint32_t forking_ = 0;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_LOCK_REGISTRY_H_

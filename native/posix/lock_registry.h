// lock_registry.h - all locks of this process, and what every fork does with them.
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
  Lock* lock = nullptr;
  Circle circle;            // with kDeadlock; `lock` is its first, and its last one is this thread's
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
  explicit constexpr LockRegistry(Lock* first) : first_(first) {}
  LockRegistry(const LockRegistry&) = delete;
  LockRegistry& operator=(const LockRegistry&) = delete;

  Lock* first() const { return first_.load(std::memory_order_acquire); }
  Lock* Find(const char* name, LockKind kind) const;
  // `lock` is one of those from now on. Returns it, or the one of its name and kind that was there before.
  Lock* Add(Lock* lock);

  // Our fork(). Either all, or none and why.
  bool AcquireAllForFork(const ThreadIdentity& self, int64_t deadline, LocksRefusal* refusal);
  void ReleaseAllAfterFork(const ThreadIdentity& self);

  void PrepareAllForFork(const ThreadIdentity& self);
  void AllAfterForkParent(const ThreadIdentity& self);
  void AllAfterForkChild(const ThreadIdentity& self);
  void AbandonAll(const ThreadIdentity& self);

 private:
  static Lock* Next(const Lock* lock) { return lock->next.load(std::memory_order_acquire); }
  bool TryAllForFork(const ThreadIdentity& self, const Patience& patience, Lock* earliest, LocksRefusal* refusal);

  std::atomic<Lock*> first_;
  ShortLock adding_;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_LOCK_REGISTRY_H_

// lock_wait.cc - how a thread waits for a lock, asleep.
// Runs in:  any thread; also in a prepare handler, within its deadline.
// Calls:    futex(2), clock_gettime(2); the caller's `goes_on`. Allocates: no.
#include "posix/lock_wait.h"

#include <algorithm>

#include "posix/bypassed_fork.h"
#include "posix/spin.h"
#include "posix/wait_graph.h"

namespace atfork {
namespace {

// What this thread is asleep for, for as long as this lives. In order with the queue and with other threads' (seq_cst):
// of those that close a circle of waits, the last one sees it.
class WaitsFor {
 public:
  WaitsFor(const ThreadIdentity& self, const Lock* lock) : entry_(self.entry) {
    if (entry_ != nullptr) outer_ = entry_->waits_for.exchange(lock);
  }
  ~WaitsFor() {
    if (entry_ != nullptr) entry_->waits_for.store(outer_);
  }
  WaitsFor(const WaitsFor&) = delete;
  WaitsFor& operator=(const WaitsFor&) = delete;

 private:
  ThreadEntry* const entry_;
  const Lock* outer_ = nullptr;
};

}  // namespace

AcquireStatus Wait(Lock* lock, const ThreadIdentity& self, const Patience& patience) {
  // Its holder need not exist here; nor would it know of us, whose queue is the parent's.
  if (IsBypassedFork()) return AcquireStatus::kBypassed;
  const WaitsFor waits(self, lock);
  const bool forks = self.entry != nullptr && self.entry->forks.load();
  const int64_t longest_sleep = forks ? ForkParticipant::kForkingNap : Lock::kNap;
  Waiter waiter(self, patience.deadline);
  AcquireStatus status = lock->Enqueue(&waiter);
  AcquireStatus otherwise = AcquireStatus::kTimedOut;
  // Then its turn has come when it does not nap any more: the next release gives it the lock.
  bool has_napped = false;
  while (status == AcquireStatus::kTimedOut) {
    // Each time. Who forks finds its circles itself, as what others want of it may be held for its fork only; and an
    // event loop may have been given a lock in the moment in which its thread fell asleep.
    if (ClosesCircle(self, lock, patience.circle)) {
      otherwise = AcquireStatus::kDeadlock;
      break;
    }
    const bool naps = waiter.state.load(std::memory_order_relaxed) == Waiter::kNapping;
    const bool is_next = has_napped && !naps;
    has_napped = naps;
    const auto is_told = [&waiter] { return waiter.state.load(std::memory_order_relaxed) != Waiter::kAsleep; };
    if (!is_next || !SpinUntil(is_told)) {
      const int64_t looks_at = naps ? waiter.nap_ends : MonotonicNanos() + longest_sleep;
      const Waiter::State state = naps ? Waiter::kNapping : Waiter::kAsleep;
      if (!FutexWait(&waiter.state, state, std::min(patience.deadline, looks_at))) {
        if (patience.deadline <= looks_at) break;
        if (!naps && patience.goes_on != nullptr && !patience.goes_on(patience.arg)) {
          lock->Withdraw(&waiter);
          return AcquireStatus::kCancelled;
        }
      }
    }
    status = lock->Claim(&waiter);
  }
  if (status == AcquireStatus::kTimedOut) status = lock->Leave(&waiter);
  return status == AcquireStatus::kTimedOut ? otherwise : status;
}

}  // namespace atfork

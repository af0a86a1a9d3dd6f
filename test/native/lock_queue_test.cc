// lock_queue_test.cc - who gets a lock next: threads and event loops in one queue.
// Runs in:  native_tests. An event loop is a LoopWaker that counts.
#include "posix/lock_queue.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "lock_helpers.h"
#include "posix/process_lock.h"
#include "posix/process_semaphore.h"
#include "posix/process_state.h"
#include "test.h"

namespace {

using atfork::AcquireStatus;
using atfork::kNoDeadline;
using atfork::Lock;
using atfork::LoopWaker;
using atfork::MonotonicNanos;
using atfork::ProcessLock;
using atfork::ProcessSemaphore;
using atfork::ThisThread;
using atfork::ThreadIdentity;
using atfork::Waiter;
using atfork::test::AwaitAsleep;
using atfork::test::Elsewhere;
using atfork::test::WordOf;

constexpr ThreadIdentity kBob = {1002, 0, 100, 102};

struct CountingLoop : LoopWaker {
  CountingLoop() : LoopWaker([](LoopWaker* self) { ++static_cast<CountingLoop*>(self)->wakes; }) {}
  std::atomic<int> wakes{0};
};

void SleepUntilFair() {
  const int64_t end = MonotonicNanos() + Waiter::kFair;
  while (MonotonicNanos() < end) std::this_thread::yield();
}

// A thread that waits for `lock`, and says when it has it.
class Sleeper {
 public:
  explicit Sleeper(Lock* lock)
      : thread_([this, lock] {
          tid_ = ThisThread().tid;
          CHECK(IsAcquired(lock->Acquire(ThisThread(), atfork::Patience{})));
          has_it_ = true;
          while (!lets_go_) std::this_thread::yield();
          CHECK(lock->Release(ThisThread()));
        }) {
    while (tid_ == 0) std::this_thread::yield();
    AwaitAsleep(tid_);
  }
  ~Sleeper() {
    lets_go_ = true;
    thread_.join();
  }
  bool has_it() const { return has_it_; }
  void AwaitIt() const {
    while (!has_it_) std::this_thread::yield();
  }

 private:
  std::atomic<pid_t> tid_{0};
  std::atomic<bool> has_it_{false};
  std::atomic<bool> lets_go_{false};
  std::thread thread_;
};

TEST(waiter_asleep_for_a_millisecond_gets_the_lock_next) {
  const ThreadIdentity& self = ThisThread();
  for (int i = 0; i < 50; ++i) {
    ProcessLock lock(self.generation);
    CHECK(IsAcquired(lock.TryAcquire(self)));
    Sleeper sleeper(&lock);
    SleepUntilFair();
    CHECK(lock.Release(self));
    // Whoever released it is here at once, and does not get it.
    CHECK(lock.TryAcquire(self) == AcquireStatus::kTimedOut);
    sleeper.AwaitIt();
  }
}

TEST(permit_goes_to_a_waiter_asleep_for_a_millisecond) {
  const ThreadIdentity& self = ThisThread();
  for (int i = 0; i < 50; ++i) {
    uint32_t room[2];
    ProcessSemaphore semaphore(self.generation, "two", 0, room, 2);
    CHECK(IsAcquired(semaphore.TryAcquire(self)));
    CHECK(IsAcquired(semaphore.TryAcquire(self)));
    Sleeper first(&semaphore);
    Sleeper second(&semaphore);
    SleepUntilFair();
    CHECK(semaphore.Release(self));
    CHECK(semaphore.TryAcquire(self) == AcquireStatus::kTimedOut);
    first.AwaitIt();
    CHECK(!second.has_it());
    CHECK(semaphore.Release(self));
    second.AwaitIt();
  }
}

// A waiter that is young is woken, and whoever comes by may be faster.
TEST(free_lock_belongs_to_whoever_comes_by) {
  ProcessLock lock;
  CountingLoop loop;
  const ThreadIdentity alice = {1000, 0, 100, 101};
  CHECK(IsAcquired(lock.TryAcquire(alice)));
  Waiter waiter(kBob, &loop);
  CHECK(lock.Enqueue(&waiter) == AcquireStatus::kTimedOut);
  CHECK(lock.Release(alice));
  if (loop.wakes == 0) return;  // a millisecond has gone by: the lock is the waiter's
  if (waiter.state == Waiter::kGranted) return;
  CHECK(IsAcquired(lock.TryAcquire(alice)));
  CHECK(lock.Claim(&waiter) == AcquireStatus::kTimedOut);
  CHECK(lock.Release(alice));
  CHECK_EQ(loop.wakes, 2);
  CHECK(lock.Claim(&waiter) == AcquireStatus::kAcquired);
  CHECK_EQ(WordOf(lock), atfork::test::kHeldBit | kBob.token | atfork::kLoopOwner);
  CHECK(lock.ReleaseByLoop(kBob));
  CHECK_EQ(WordOf(lock), 0u);
}

TEST(thread_that_is_woken_in_vain_is_left_alone_until_its_turn) {
  ProcessLock lock;
  const ThreadIdentity alice = {1000, 0, 100, 101};
  CHECK(IsAcquired(lock.TryAcquire(alice)));
  Waiter waiter(kBob);
  CHECK(lock.Enqueue(&waiter) == AcquireStatus::kTimedOut);
  CHECK(lock.Release(alice));
  if (waiter.state == Waiter::kGranted) return;  // a millisecond has gone by
  CHECK(waiter.state == Waiter::kWoken);
  CHECK(IsAcquired(lock.TryAcquire(alice)));
  CHECK(lock.Claim(&waiter) == AcquireStatus::kTimedOut);
  if (waiter.state != Waiter::kNapping) return;
  CHECK(waiter.nap_ends <= waiter.turn);
  CHECK(lock.Release(alice));
  CHECK(waiter.state == Waiter::kNapping);
  CHECK(IsAcquired(lock.TryAcquire(alice)));
  SleepUntilFair();
  CHECK(lock.Claim(&waiter) == AcquireStatus::kTimedOut);
  CHECK(waiter.state == Waiter::kAsleep);
  CHECK(lock.Release(alice));
  CHECK(waiter.state == Waiter::kGranted);
  CHECK_EQ(WordOf(lock), atfork::test::kHeldBit | kBob.token);
  CHECK(lock.Claim(&waiter) == AcquireStatus::kAcquired);
  CHECK(lock.Release(kBob));
  CHECK_EQ(WordOf(lock), 0u);
}

// As whoever forks for another library has: it waits 1 ms at most.
TEST(turn_of_a_waiter_with_little_time_comes_in_time) {
  ProcessLock lock;
  const ThreadIdentity alice = {1000, 0, 100, 101};
  CHECK(IsAcquired(lock.TryAcquire(alice)));
  const int64_t deadline = MonotonicNanos() + Waiter::kFair;
  Waiter waiter(kBob, deadline);
  CHECK(waiter.turn < deadline);
  CHECK(lock.Enqueue(&waiter) == AcquireStatus::kTimedOut);
  while (MonotonicNanos() < waiter.turn) std::this_thread::yield();
  CHECK(lock.Release(alice));
  CHECK(waiter.state == Waiter::kGranted);
  CHECK(lock.Claim(&waiter) == AcquireStatus::kAcquired);
  CHECK(lock.Release(kBob));
}

TEST(loop_is_given_the_lock_after_a_millisecond_and_may_give_it_back_unheard) {
  ProcessLock lock;
  CountingLoop loop;
  const ThreadIdentity alice = {1000, 0, 100, 101};
  for (const bool takes_it : {true, false}) {
    CHECK(IsAcquired(lock.TryAcquire(alice)));
    Waiter waiter(kBob, &loop);
    CHECK(lock.Enqueue(&waiter) == AcquireStatus::kTimedOut);
    SleepUntilFair();
    CHECK(lock.Release(alice));
    CHECK(lock.TryAcquire(alice) == AcquireStatus::kTimedOut);
    CHECK(lock.TryAcquire(kBob) == AcquireStatus::kTimedOut);  // the loop's, not the thread's
    if (takes_it) {
      CHECK(lock.Claim(&waiter) == AcquireStatus::kAcquired);
      CHECK(!lock.Release(kBob));
      CHECK(lock.ReleaseByLoop(kBob));
    } else {
      lock.Withdraw(&waiter);
    }
    CHECK_EQ(WordOf(lock), 0u);
    CHECK_EQ(loop.users, 0u);
  }
}

// Its loop cannot look before its thread is awake, and that waits for somebody else.
TEST(loop_of_a_sleeping_thread_is_passed_over) {
  ThreadIdentity& self = ThisThread();
  ProcessLock lock(self.generation);
  ProcessLock other(self.generation);
  CountingLoop loop;
  CHECK(IsAcquired(lock.TryAcquire(self)));
  Waiter own(self, &loop);
  CHECK(lock.Enqueue(&own) == AcquireStatus::kTimedOut);
  Sleeper sleeper(&lock);
  SleepUntilFair();
  self.entry->waits_for = &other;
  CHECK(lock.Release(self));
  self.entry->waits_for = nullptr;
  sleeper.AwaitIt();
  CHECK_EQ(loop.wakes, 0);
  lock.Withdraw(&own);
}

// Nobody else is there to take it: the loop hears of it, and looks when its thread is awake.
TEST(loop_of_a_sleeping_thread_is_told_if_nobody_else_wants_the_lock) {
  ThreadIdentity& self = ThisThread();
  uint32_t room[1];
  ProcessLock lock(self.generation);
  ProcessSemaphore semaphore(self.generation, "one", 0, room, 1);
  ProcessLock other(self.generation);
  for (Lock* const each : {static_cast<Lock*>(&lock), static_cast<Lock*>(&semaphore)}) {
    CountingLoop loop;
    CHECK(IsAcquired(each->TryAcquire(self)));
    Waiter waiter(self, &loop);
    CHECK(each->Enqueue(&waiter) == AcquireStatus::kTimedOut);
    SleepUntilFair();
    self.entry->waits_for = &other;
    CHECK(each->Release(self));
    self.entry->waits_for = nullptr;
    CHECK_EQ(loop.wakes, 1);
    CHECK(each->Claim(&waiter) == AcquireStatus::kAcquired);
    CHECK(each->ReleaseByLoop(self));
  }
}

// Its own event loop was given the lock, and cannot look while this thread is here: it is no owner yet.
TEST(thread_takes_what_its_loop_was_given_and_the_loop_goes_on_waiting) {
  const ThreadIdentity& self = ThisThread();
  uint32_t room[1];
  ProcessLock lock(self.generation);
  ProcessSemaphore semaphore(self.generation, "one", 0, room, 1);
  for (Lock* const each : {static_cast<Lock*>(&lock), static_cast<Lock*>(&semaphore)}) {
    CountingLoop loop;
    CHECK(IsAcquired(each->TryAcquire(self)));
    Waiter waiter(self, &loop);
    CHECK(each->Enqueue(&waiter) == AcquireStatus::kTimedOut);
    SleepUntilFair();
    CHECK(each->Release(self));
    CHECK(each->TryAcquire(self) == AcquireStatus::kTimedOut);
    CHECK(each->Acquire(self, atfork::Patience{}) == AcquireStatus::kAcquired);
    CHECK(each->Claim(&waiter) == AcquireStatus::kTimedOut);
    CHECK(each->Release(self));
    CHECK(each->Claim(&waiter) == AcquireStatus::kAcquired);
    CHECK(each->ReleaseByLoop(self));
  }
}

// A flow of this thread's loop holds what the other one waits for, and cannot go on while this thread sleeps.
TEST(thread_that_sleeps_keeps_what_its_loop_holds) {
  const ThreadIdentity& self = ThisThread();
  ProcessLock lock(self.generation);
  ProcessLock mine(self.generation);
  CHECK(IsAcquired(mine.TryAcquire(self)));
  std::atomic<pid_t> tid{0};
  std::thread other([&] {
    CountingLoop loop;
    Waiter waiter(ThisThread(), &loop);
    CHECK(IsAcquired(lock.Enqueue(&waiter)));
    tid = ThisThread().tid;
    CHECK(IsAcquired(mine.Acquire(ThisThread(), kNoDeadline)));
    CHECK(mine.Release(ThisThread()));
    CHECK(lock.ReleaseByLoop(ThisThread()));
  });
  while (tid == 0) std::this_thread::yield();
  AwaitAsleep(tid);
  CHECK(lock.Acquire(self, kNoDeadline) == AcquireStatus::kDeadlock);
  CHECK(mine.Release(self));
  other.join();
}

// What a fork that is not ours did not get, its parent's handler must not give back.
TEST(loop_that_is_given_the_lock_during_a_fork_keeps_it) {
  const ThreadIdentity& self = ThisThread();
  uint32_t room[1];
  ProcessLock lock(self.generation);
  ProcessSemaphore semaphore(self.generation, "one", 0, room, 1);
  for (Lock* const each : {static_cast<Lock*>(&lock), static_cast<Lock*>(&semaphore)}) {
    CountingLoop loop;
    Elsewhere holder([=] { CHECK(IsAcquired(each->TryAcquire(ThisThread()))); },
                     [=] { CHECK(each->Release(ThisThread())); });
    Waiter waiter(self, &loop);
    CHECK(each->Enqueue(&waiter) == AcquireStatus::kTimedOut);
    each->PrepareForFork(self, MonotonicNanos() + Waiter::kFair);
    holder.End();
    each->AfterForkParent(self);
    std::thread([&] { CHECK(each->TryAcquire(ThisThread()) == AcquireStatus::kTimedOut); }).join();
    CHECK(each->Claim(&waiter) == AcquireStatus::kAcquired);
    CHECK(each->ReleaseByLoop(self));
    CHECK(!each->IsHeld());
  }
}

// More than one permit comes free at once.
TEST(permits_of_a_thread_that_ends_go_to_everybody_who_waits) {
  const ThreadIdentity& self = ThisThread();
  uint32_t room[3];
  ProcessSemaphore semaphore(self.generation, "three", 0, room, 3);
  CountingLoop loops[3];
  const auto take_all = [&] {
    for (int i = 0; i < 3; ++i) CHECK(IsAcquired(semaphore.TryAcquire(ThisThread())));
  };
  Elsewhere holder(take_all, [&] { semaphore.Abandon(ThisThread()); });
  Waiter first(self, &loops[0]);
  Waiter second(self, &loops[1]);
  Waiter third(self, &loops[2]);
  for (Waiter* const each : {&first, &second, &third}) CHECK(semaphore.Enqueue(each) == AcquireStatus::kTimedOut);
  holder.End();
  for (const CountingLoop& loop : loops) CHECK_EQ(loop.wakes, 1);
  for (Waiter* const each : {&first, &second, &third}) CHECK(semaphore.Claim(each) == AcquireStatus::kOwnerDied);
  CHECK(semaphore.MakeConsistentByLoop(self));
  for (int i = 0; i < 3; ++i) CHECK(semaphore.ReleaseByLoop(self));
  CHECK(!semaphore.IsOrphaned());
}

TEST(waiter_that_leaves_does_not_take_the_wake_up_with_it) {
  const ThreadIdentity& self = ThisThread();
  ProcessLock lock(self.generation);
  CountingLoop loop;
  for (int i = 0; i < 200; ++i) {
    CHECK(IsAcquired(lock.TryAcquire(self)));
    Waiter young(self, &loop);
    CHECK(lock.Enqueue(&young) == AcquireStatus::kTimedOut);
    Sleeper sleeper(&lock);
    CHECK(lock.Release(self));
    lock.Withdraw(&young);
    sleeper.AwaitIt();
  }
}

// Threads that wait with all sorts of patience, and loops that come and go: the count is right, and nobody is
// forgotten.
TEST(queue_of_threads_and_loops_excludes_and_forgets_nobody) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 5000;
  const uint32_t generation = ThisThread().generation;
  uint32_t room[1];
  ProcessLock lock(generation);
  ProcessSemaphore semaphore(generation, "one", 0, room, 1);
  for (Lock* const each : {static_cast<Lock*>(&lock), static_cast<Lock*>(&semaphore)}) {
    int64_t counter = 0;
    std::vector<std::thread> threads;
    for (int id = 0; id < kThreads; ++id) {
      threads.emplace_back([&, id] {
        const ThreadIdentity& self = ThisThread();
        CountingLoop loop;
        for (int round = 0; round < kRounds; ++round) {
          const int way = (round + id) % 4;
          if (way == 0) {
            Waiter waiter(self, &loop);
            AcquireStatus status = each->Enqueue(&waiter);
            while (status == AcquireStatus::kTimedOut) {
              std::this_thread::yield();
              if (waiter.state != Waiter::kAsleep) status = each->Claim(&waiter);
            }
            CHECK(status == AcquireStatus::kAcquired);
            ++counter;
            CHECK(each->ReleaseByLoop(self));
            while (loop.users != 0) std::this_thread::yield();
            continue;
          }
          if (way == 1) {
            Waiter waiter(self, &loop);
            if (IsAcquired(each->Enqueue(&waiter))) {
              CHECK(each->ReleaseByLoop(self));
            } else {
              each->Withdraw(&waiter);
            }
            while (loop.users != 0) std::this_thread::yield();
          }
          const int64_t patience = way == 2 ? 20 * 1000 : kNoDeadline;
          const auto deadline = [=] { return patience == kNoDeadline ? kNoDeadline : MonotonicNanos() + patience; };
          while (!IsAcquired(each->Acquire(self, atfork::Patience{deadline()}))) {
          }
          ++counter;
          if (round % 64 == 0) std::this_thread::yield();
          CHECK(each->Release(self));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK_EQ(counter, int64_t{kThreads} * kRounds);
    CHECK(!each->IsHeld());
    CHECK_EQ(each->Waiters(nullptr, 0), 0u);
  }
}

}  // namespace

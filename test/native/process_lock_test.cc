// process_lock_test.cc - the lock within one process: recursion, waiting, contention, the death of an owner, and
// threads that do not belong to the process any more. Forks are in process_lock_fork_test.cc.
// Runs in:  native_tests. Where no second thread has to wait, a second ThreadIdentity stands for it.
#include "posix/process_lock.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "lock_helpers.h"
#include "posix/process_state.h"
#include "test.h"

namespace {

using atfork::AcquireStatus;
using atfork::DeadlineAfterMs;
using atfork::kNoDeadline;
using atfork::LockOwner;
using atfork::MonotonicNanos;
using atfork::ProcessLock;
using atfork::ThisThread;
using atfork::ThreadEntry;
using atfork::ThreadIdentity;
using atfork::test::AwaitAsleep;
using atfork::test::AwaitWaiter;
using atfork::test::kHeldBit;
using atfork::test::OwnerOf;
using atfork::test::Stage;
using atfork::test::WordOf;

constexpr ThreadIdentity kAlice = {1000, 0, 100, 101};
constexpr ThreadIdentity kBob = {1002, 0, 100, 102};

TEST(lock_is_recursive) {
  ProcessLock lock;
  CHECK(lock.TryAcquire(kAlice) == AcquireStatus::kAcquired);
  CHECK(lock.Acquire(kAlice, kNoDeadline) == AcquireStatus::kAcquired);
  CHECK_EQ(OwnerOf(lock).depth, 2u);
  CHECK(lock.TryAcquire(kBob) == AcquireStatus::kTimedOut);
  CHECK(lock.Release(kAlice));
  CHECK(lock.TryAcquire(kBob) == AcquireStatus::kTimedOut);
  CHECK(lock.Release(kAlice));
  CHECK(!lock.IsHeld());
  CHECK(!lock.Release(kAlice));
  CHECK(lock.TryAcquire(kBob) == AcquireStatus::kAcquired);
}

TEST(lock_knows_its_owner) {
  ThreadEntry alice = {kAlice};
  atfork::GetProcessState()->threads.Add(&alice);
  ProcessLock lock;
  CHECK(!lock.Owner().has_value());
  CHECK(lock.TryAcquire(kAlice) == AcquireStatus::kAcquired);
  const LockOwner owner = OwnerOf(lock);
  CHECK_EQ(owner.thread.pid, kAlice.pid);
  CHECK_EQ(owner.thread.tid, kAlice.tid);
  CHECK_EQ(owner.depth, 1u);
  CHECK(lock.HeldBy(kAlice));
  CHECK(!lock.HeldBy(kBob));
  CHECK(!lock.Release(kBob));
  CHECK(!lock.MakeConsistent(kBob));
  CHECK(lock.Release(kAlice));
  CHECK(!lock.Owner().has_value());
}

TEST(lock_waits_until_its_deadline_and_no_shorter) {
  ProcessLock lock;
  CHECK(lock.TryAcquire(kAlice) == AcquireStatus::kAcquired);
  const int64_t deadline = DeadlineAfterMs(30);
  CHECK(lock.Acquire(kBob, deadline) == AcquireStatus::kTimedOut);
  CHECK(MonotonicNanos() >= deadline);
  CHECK(lock.Acquire(kBob, 0) == AcquireStatus::kTimedOut);
  CHECK(lock.Acquire(kBob, -1) == AcquireStatus::kTimedOut);
  CHECK(lock.Release(kAlice));
  CHECK_EQ(WordOf(lock), 0u);
  CHECK(lock.Acquire(kBob, 0) == AcquireStatus::kAcquired);
}

TEST(deadlines_saturate) {
  CHECK_EQ(DeadlineAfterMs(1.0 / 0.0), kNoDeadline);
  CHECK_EQ(DeadlineAfterMs(1e300), kNoDeadline);
  CHECK(DeadlineAfterMs(1000) > MonotonicNanos());
}

TEST(lock_wait_goes_on_after_a_signal) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};  // no SA_RESTART: futex(2) fails with EINTR
  CHECK_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  ProcessLock lock;
  CHECK(lock.TryAcquire(kAlice) == AcquireStatus::kAcquired);
  std::atomic<bool> done{false};
  std::thread waiter([&] {
    CHECK(lock.Acquire(kBob, kNoDeadline) == AcquireStatus::kAcquired);
    done = true;
  });
  AwaitWaiter(lock);
  for (int i = 0; i < 100; ++i) {
    pthread_kill(waiter.native_handle(), SIGUSR1);
    std::this_thread::yield();
  }
  CHECK(!done);
  CHECK(lock.Release(kAlice));
  waiter.join();
  CHECK(lock.HeldBy(kBob));
}

// Some give up now and then: a wake-up that goes to one of those must not be lost for the others.
TEST(lock_excludes_and_loses_no_wake_up) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 20000;
  ProcessLock lock(ThisThread().generation);
  int64_t counter = 0;  // not atomic: the lock protects it
  std::vector<std::thread> threads;
  for (int id = 0; id < kThreads; ++id) {
    threads.emplace_back([&, id] {
      const ThreadIdentity& self = ThisThread();
      for (int round = 0; round < kRounds; ++round) {
        const bool patient = (round + id) % 3 != 0;
        while (!IsAcquired(lock.Acquire(self, patient ? kNoDeadline : DeadlineAfterMs(0.02)))) {
        }
        CHECK(IsAcquired(lock.TryAcquire(self)));
        ++counter;
        CHECK(lock.Release(self));
        if (round % 64 == 0) std::this_thread::yield();  // with the lock held, so that others do fall asleep
        CHECK(lock.Release(self));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(counter, int64_t{kThreads} * kRounds);
  CHECK(!lock.IsHeld());
}

TEST(thread_that_ends_leaves_the_lock_orphaned) {
  ProcessLock& lock = atfork::GetProcessState()->global_lock;
  ThreadIdentity gone;
  std::thread([&] {
    gone = ThisThread();
    CHECK(IsAcquired(lock.TryAcquire(gone)));
    CHECK(IsAcquired(lock.TryAcquire(gone)));
  }).join();
  CHECK(lock.IsOrphaned());
  CHECK(!lock.IsHeld());
  CHECK_EQ(OwnerOf(lock).thread.tid, gone.tid);
  CHECK_EQ(OwnerOf(lock).depth, 0u);

  const ThreadIdentity& self = ThisThread();
  CHECK(lock.Acquire(self, kNoDeadline) == AcquireStatus::kOwnerDied);
  CHECK(lock.TryAcquire(self) == AcquireStatus::kOwnerDied);  // still not repaired
  CHECK(lock.Release(self));
  CHECK(lock.IsOrphaned());
  CHECK(lock.MakeConsistent(self));
  CHECK(!lock.IsOrphaned());
  CHECK(lock.Release(self));
  CHECK(lock.TryAcquire(self) == AcquireStatus::kAcquired);
}

TEST(waiter_gets_the_lock_of_a_dead_owner) {
  ProcessLock lock;
  CHECK(IsAcquired(lock.TryAcquire(kAlice)));
  std::thread waiter([&] { CHECK(lock.Acquire(kBob, kNoDeadline) == AcquireStatus::kOwnerDied); });
  AwaitWaiter(lock);
  lock.Abandon(kBob);  // not the owner: nothing happens
  CHECK(!lock.IsOrphaned());
  lock.Abandon(kAlice);
  waiter.join();
  CHECK(lock.HeldBy(kBob));
}

TEST(orphan_released_without_repair_is_lost_for_all) {
  ProcessLock lock;
  CHECK(IsAcquired(lock.TryAcquire(kAlice)));
  lock.Abandon(kAlice);
  CHECK(lock.TryAcquire(kAlice) == AcquireStatus::kOwnerDied);
  std::vector<std::thread> waiters;
  for (uint32_t i = 0; i < 3; ++i) {
    waiters.emplace_back([&, i] {
      const ThreadIdentity self = {1010 + 2 * i, 0, 100, 110};
      CHECK(lock.Acquire(self, kNoDeadline) == AcquireStatus::kNotRecoverable);
    });
  }
  AwaitWaiter(lock);
  CHECK(lock.Release(kAlice));
  for (std::thread& waiter : waiters) waiter.join();
  CHECK(lock.TryAcquire(kAlice) == AcquireStatus::kNotRecoverable);
  CHECK(lock.Acquire(kBob, kNoDeadline) == AcquireStatus::kNotRecoverable);
  CHECK(lock.IsOrphaned());
  CHECK(!lock.IsHeld());
  CHECK(!lock.Release(kAlice));
  CHECK(!lock.MakeConsistent(kAlice));
}

// What a child does to the lock, done here while another thread waits: the thread stands for one that was brought back.
TEST(waiter_of_another_generation_is_cancelled) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  CHECK_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  ProcessLock lock;
  CHECK(IsAcquired(lock.TryAcquire(kAlice)));
  std::thread waiter([&] { CHECK(lock.Acquire(kBob, kNoDeadline) == AcquireStatus::kCancelled); });
  AwaitWaiter(lock);
  ThreadIdentity forker = kAlice;
  forker.generation = 1;
  lock.PrepareForFork(forker, kNoDeadline);
  lock.AfterForkChild(forker);
  CHECK_EQ(WordOf(lock), kHeldBit | forker.token);  // held once, nobody waits
  pthread_kill(waiter.native_handle(), SIGUSR1);    // coming back is an interruption, too
  waiter.join();
  CHECK(lock.TryAcquire(kBob) == AcquireStatus::kCancelled);
  CHECK_EQ(WordOf(lock), kHeldBit | forker.token);
  CHECK(lock.Release(forker));
  CHECK(lock.TryAcquire(kBob) == AcquireStatus::kCancelled);
  CHECK(!lock.Release(kBob));
  CHECK_EQ(WordOf(lock), forker.generation);
}

// The queue that it stands in is the parent's, and so is its turn.
TEST(waiter_of_another_generation_takes_nobodys_turn) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  CHECK_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  ProcessLock lock;
  ThreadIdentity forker = kAlice;
  CHECK(IsAcquired(lock.TryAcquire(forker)));
  std::atomic<pid_t> tids[2] = {};
  const auto wait = [&](int id, ThreadIdentity self, AcquireStatus expected) {
    tids[id] = gettid();
    CHECK(lock.Acquire(self, kNoDeadline) == expected);
  };
  const auto await_asleep = [&](int id) {
    AwaitWaiter(lock);
    while (tids[id] == 0) std::this_thread::yield();
    AwaitAsleep(tids[id]);
  };
  std::thread ghost(wait, 0, kBob, AcquireStatus::kCancelled);
  await_asleep(0);
  forker.generation = 1;
  lock.PrepareForFork(forker, kNoDeadline);
  lock.AfterForkChild(forker);
  std::thread waiter(wait, 1, ThreadIdentity{1004, 1, 100, 103}, AcquireStatus::kAcquired);
  await_asleep(1);
  CHECK(lock.Release(forker));
  waiter.join();
  pthread_kill(ghost.native_handle(), SIGUSR1);
  ghost.join();
}

// Counted in rounds.
Stage parked;
Stage resumed;
Stage went_on;

void Park(int) {
  const uint32_t round = parked.value() + 1;
  parked.Reach(round);
  resumed.Await(round);
  went_on.Reach(round);
}

// A thread is stopped by a signal wherever it stands, its process becomes the child, and it goes on. Also right in
// front of the compare-and-swap: in some of the rounds.
TEST(thread_that_was_stopped_just_before_it_had_the_lock_gives_it_back) {
  constexpr uint32_t kRounds = 2000;
  struct sigaction action = {};
  action.sa_handler = Park;
  CHECK_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  std::vector<ProcessLock> locks(kRounds);
  ThreadIdentity forker = kAlice;
  Stage begun;
  Stage grabbing;
  std::thread ghost([&] {
    for (uint32_t round = 1; round <= kRounds; ++round) {
      begun.Await(round);
      grabbing.Reach(round);
      AcquireStatus status;
      do {
        status = locks[round - 1].TryAcquire(kBob);
        CHECK(!IsAcquired(status));
      } while (status != AcquireStatus::kCancelled);
    }
  });
  for (uint32_t round = 1; round <= kRounds; ++round) {
    ProcessLock& lock = locks[round - 1];
    forker.generation = 0;
    CHECK(IsAcquired(lock.AcquireForFork(forker, kNoDeadline)));
    begun.Reach(round);
    grabbing.Await(round);
    pthread_kill(ghost.native_handle(), SIGUSR1);
    parked.Await(round);
    forker.generation = 1;
    lock.AfterForkChild(forker);
    resumed.Reach(round);
    went_on.Await(round);
  }
  ghost.join();
  for (const ProcessLock& lock : locks) CHECK_EQ(WordOf(lock), forker.generation);
}

TEST(thread_without_a_token_gets_no_lock) {
  atfork::GetProcessState()->last_token = atfork::kNoToken - 4;
  std::thread([] { CHECK_EQ(ThisThread().token, atfork::kNoToken - 2); }).join();
  for (int i = 0; i < 2; ++i) {
    std::thread([] {
      ProcessLock lock(atfork::GetProcessState()->generation);
      CHECK_EQ(ThisThread().token, atfork::kNoToken);
      CHECK(lock.TryAcquire(ThisThread()) == AcquireStatus::kCancelled);
      CHECK(!lock.Release(ThisThread()));
    }).join();
  }
}

}  // namespace

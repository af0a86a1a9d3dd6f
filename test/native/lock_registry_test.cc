// lock_registry_test.cc - forks take every lock of the process: in order, within one deadline, and without a deadlock
// that is not the program's own. Runs in:  native_tests, each test in a process of its own.
#include "posix/lock_registry.h"

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "lock_helpers.h"
#include "posix/named_lock.h"
#include "posix/process_state.h"
#include "test.h"

namespace {

using atfork::AcquireStatus;
using atfork::DeadlineAfterMs;
using atfork::ForkParticipant;
using atfork::kNoDeadline;
using atfork::Lock;
using atfork::LocksRefusal;
using atfork::MonotonicNanos;
using atfork::OpenNamedLock;
using atfork::OpenNamedSemaphore;
using atfork::Patience;
using atfork::ProcessLock;
using atfork::ProcessSemaphore;
using atfork::ThisThread;
using atfork::test::AwaitAsleep;
using atfork::test::CheckChild;
using atfork::test::Elsewhere;
using atfork::test::Fork;
using atfork::test::OwnerOf;

atfork::LockRegistry& Locks() { return atfork::GetProcessState()->locks; }

ProcessLock* Named(const char* name, int rank = 0) {
  const auto lock = OpenNamedLock(name, rank);
  CHECK(lock.ok());
  return lock.value();
}

ProcessSemaphore* Semaphore(const char* name, uint32_t permits) {
  const auto semaphore = OpenNamedSemaphore(name, permits, {});
  CHECK(semaphore.ok());
  return semaphore.value();
}

void Take(Lock* lock) { CHECK(IsAcquired(lock->Acquire(ThisThread(), Patience{}))); }
void Give(Lock* lock) { CHECK(lock->Release(ThisThread())); }

TEST(lock_of_a_name_is_one_lock) {
  ProcessLock* const lock = Named("lock", 3);
  CHECK(OpenNamedLock("lock", {}).value() == lock);
  CHECK(OpenNamedLock("lock", 4).error().errnum == EINVAL);
  ProcessSemaphore* const semaphore = Semaphore("lock", 2);  // a name of another kind
  CHECK(static_cast<Lock*>(semaphore) != lock);
  CHECK(OpenNamedSemaphore("lock", 3, {}).error().errnum == EINVAL);
  CHECK(OpenNamedSemaphore("lock", 2, 1).error().errnum == EINVAL);
  CHECK(OpenNamedLock("global lock", {}).value() != &atfork::GetProcessState()->global_lock);

  std::atomic<ProcessLock*> seen[8] = {};
  std::vector<std::thread> threads;
  for (auto& each : seen) threads.emplace_back([&] { each = OpenNamedLock("made at once", {}).value(); });
  for (std::thread& thread : threads) thread.join();
  for (auto& each : seen) CHECK(each == seen[0]);
}

TEST(locks_are_in_order_of_rank_and_then_of_creation) {
  for (const int rank : {5, -1, 0, 5, 2}) Named(("rank " + std::to_string(rank)).c_str(), rank);
  Named("rank 5, later", 5);
  std::string order;
  for (const ForkParticipant* lock = Locks().first(); lock != nullptr; lock = lock->next)
    order += std::string(lock->name) + "; ";
  CHECK_EQ(order, "rank -1; global lock; rank 0; rank 2; rank 5; rank 5, later; ");
}

// Every kind, in every state that it can be in at a fork.
TEST(fork_keeps_what_the_forking_thread_holds_and_frees_the_rest) {
  ProcessLock* const held = Named("held");
  ProcessLock* const free = Named("free");
  ProcessSemaphore* const permits = Semaphore("permits", 3);
  Take(held);
  Take(held);
  Take(permits);
  const auto check = [=] {
    CHECK_EQ(OwnerOf(*held).depth, 2u);
    CHECK_EQ(OwnerOf(*held).thread.tid, ThisThread().tid);
    CHECK_EQ(permits->Holders(nullptr, 0), 1u);
    CHECK(!held->IsOrphaned() && !free->IsOrphaned() && !permits->IsOrphaned());
    for (Lock* const lock : {static_cast<Lock*>(held), static_cast<Lock*>(held), static_cast<Lock*>(permits)})
      Give(lock);
    for (Lock* const lock : {static_cast<Lock*>(held), static_cast<Lock*>(free)}) {
      CHECK(lock->TryAcquire(ThisThread()) == AcquireStatus::kAcquired);
      CHECK(!OwnerOf(*lock).is_loop);
      Give(lock);
    }
    for (int i = 0; i < 3; ++i) Take(permits);
    CHECK(permits->TryAcquire(ThisThread()) == AcquireStatus::kTimedOut);
  };
  CheckChild(Fork(check));
  LocksRefusal refusal;
  CHECK(Locks().AcquireAllForFork(ThisThread(), kNoDeadline, &refusal));
  const pid_t pid = Fork([&] {
    Locks().ReleaseAllAfterFork(ThisThread());
    check();
  });
  Locks().ReleaseAllAfterFork(ThisThread());
  CheckChild(pid);
  check();
}

TEST(foreign_fork_waits_for_all_locks_together_and_orphans_what_it_does_not_get) {
  constexpr int kLocks = 20;
  std::vector<Lock*> locks;
  for (int i = 0; i < kLocks; ++i) locks.push_back(Named(("busy " + std::to_string(i)).c_str()));
  locks.push_back(Semaphore("busy permits", 4));
  ProcessLock* const free = Named("free");
  const auto for_all = [&locks](void (*act)(Lock*)) {
    for (Lock* const lock : locks) act(lock);
  };
  Elsewhere holder([=] { for_all(Take); }, [=] { for_all(Give); });
  const pid_t parent = getpid();
  CheckChild(Fork([&] {
    CHECK(!free->IsOrphaned());
    for (Lock* const lock : locks) {
      CHECK(lock->IsOrphaned() && !lock->IsHeld());
      CHECK_EQ(OwnerOf(*lock).depth, 0u);
      CHECK_EQ(OwnerOf(*lock).thread.pid, parent);
      CHECK(lock->TryAcquire(ThisThread()) == AcquireStatus::kOwnerDied);
      CHECK(lock->MakeConsistent(ThisThread()));
      Give(lock);
      CHECK(lock->TryAcquire(ThisThread()) == AcquireStatus::kAcquired);
      Give(lock);
    }
  }));
  for (Lock* const lock : locks) CHECK(!lock->IsOrphaned());
  holder.End();
  CheckChild(Fork([&] {
    for (Lock* const lock : locks) CHECK(!lock->IsOrphaned());
  }));
}

TEST(fork_that_finds_one_lock_busy_has_taken_none) {
  ProcessLock* const first = Named("first", 1);
  ProcessSemaphore* const permits = Semaphore("permits", 2);
  ProcessLock* const busy = Named("busy", 2);
  Take(first);
  Elsewhere holder([=] { Take(busy); }, [=] { Give(busy); });
  LocksRefusal refusal;
  CHECK(!Locks().AcquireAllForFork(ThisThread(), DeadlineAfterMs(20), &refusal));
  CHECK(refusal.status == AcquireStatus::kTimedOut);
  CHECK(refusal.participant == busy);
  CHECK_EQ(OwnerOf(*first).depth, 1u);
  CHECK(!atfork::GetProcessState()->global_lock.IsHeld());
  std::thread([&] {
    Take(permits);
    Take(permits);
    Give(permits);
    Give(permits);
  }).join();
  holder.End();
  Give(first);
  CHECK(Locks().AcquireAllForFork(ThisThread(), kNoDeadline, &refusal));
  Locks().ReleaseAllAfterFork(ThisThread());
  for (Lock* const lock : {static_cast<Lock*>(first), static_cast<Lock*>(permits), static_cast<Lock*>(busy)}) {
    CHECK(!lock->IsHeld());
  }
}

// The forking thread holds what the other one waits for, and the other one what the fork wants.
TEST(fork_in_a_circle_is_told_so_before_its_deadline) {
  ProcessLock* const low = Named("low", 1);
  ProcessLock* const high = Named("high", 2);
  Take(high);
  std::atomic<pid_t> tid{0};
  std::thread other([&] {
    Take(low);
    tid = ThisThread().tid;
    Take(high);
    Give(high);
    Give(low);
  });
  while (tid == 0) std::this_thread::yield();
  AwaitAsleep(tid);
  LocksRefusal refusal;
  CHECK(!Locks().AcquireAllForFork(ThisThread(), kNoDeadline, &refusal));
  CHECK(refusal.status == AcquireStatus::kDeadlock);
  const std::string why = Explain(refusal.circle);
  CHECK_EQ(why, "'low', which thread " + std::to_string(tid) + " holds and waits for 'high', which this thread holds");
  CHECK_EQ(OwnerOf(*high).depth, 1u);
  Give(high);
  other.join();
}

// Nobody holds anything but for a while, and no fork is a reason not to get it.
TEST(fork_gives_way_to_those_that_take_locks_in_another_order) {
  ProcessLock* const a = Named("a");
  ProcessLock* const b = Named("b");
  ProcessSemaphore* const permits = Semaphore("permits", 3);
  std::atomic<bool> stop{false};
  const auto nest = [&](Lock* outer, Lock* inner) {
    while (!stop) {
      Take(outer);
      std::this_thread::yield();
      Take(inner);
      Give(inner);
      Give(outer);
    }
  };
  std::vector<std::thread> threads;
  threads.emplace_back([&] { nest(b, a); });
  threads.emplace_back([&] { nest(permits, a); });
  threads.emplace_back([&] { nest(b, permits); });
  threads.emplace_back([&] { nest(permits, permits); });
  for (int i = 0; i < 200; ++i) {
    LocksRefusal refusal;
    CHECK(Locks().AcquireAllForFork(ThisThread(), kNoDeadline, &refusal));
    CheckChild(Fork([&] {
      Locks().ReleaseAllAfterFork(ThisThread());
      for (Lock* const lock : {static_cast<Lock*>(a), static_cast<Lock*>(b), static_cast<Lock*>(permits)}) {
        CHECK(lock->TryAcquire(ThisThread()) == AcquireStatus::kAcquired);
        Give(lock);
      }
    }));
    Locks().ReleaseAllAfterFork(ThisThread());
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

// A fork that is not ours holds some locks for a millisecond, and then gives up: no reason to call that a deadlock.
TEST(fork_of_somebody_else_is_no_part_of_a_deadlock) {
  ProcessLock* const a = Named("a");
  ProcessLock* const b = Named("b");
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) {
      Take(b);
      const AcquireStatus status = a->Acquire(ThisThread(), Patience{DeadlineAfterMs(2)});
      CHECK(status != AcquireStatus::kDeadlock);
      if (IsAcquired(status)) Give(a);
      Give(b);
    }
  });
  for (int i = 0; i < 300; ++i) {
    Locks().PrepareAllForFork(ThisThread());
    Locks().AllAfterForkParent(ThisThread());
  }
  stop = true;
  other.join();
}

// No fork falls into what another thread does under a lock that it has just made.
TEST(lock_that_is_made_during_our_fork_is_held_by_it) {
  LocksRefusal refusal;
  CHECK(Locks().AcquireAllForFork(ThisThread(), kNoDeadline, &refusal));
  const pid_t pid = Fork([&] { Locks().ReleaseAllAfterFork(ThisThread()); });
  std::thread([] {
    CHECK(Named("new", -5)->TryAcquire(ThisThread()) == AcquireStatus::kTimedOut);
    CHECK(Semaphore("new", 2)->TryAcquire(ThisThread()) == AcquireStatus::kTimedOut);
  }).join();
  CheckChild(Fork([&] {
    Locks().ReleaseAllAfterFork(ThisThread());
    for (Lock* const lock : {static_cast<Lock*>(Named("new", -5)), static_cast<Lock*>(Semaphore("new", 2))}) {
      CHECK(lock->TryAcquire(ThisThread()) == AcquireStatus::kAcquired);
    }
  }));
  Locks().ReleaseAllAfterFork(ThisThread());
  CheckChild(pid);
  for (Lock* const lock : {static_cast<Lock*>(Named("new", -5)), static_cast<Lock*>(Semaphore("new", 2))}) {
    CHECK(lock->TryAcquire(ThisThread()) == AcquireStatus::kAcquired);
    Give(lock);
  }
}

TEST(thread_that_waits_in_a_circle_is_told_so) {
  ProcessLock* const locks[3] = {Named("x"), Named("y"), Named("z")};
  std::atomic<int> holding{0};
  std::atomic<int> deadlocks{0};
  std::vector<std::thread> threads;
  for (int id = 0; id < 3; ++id) {
    threads.emplace_back([&, id] {
      Take(locks[id]);
      ++holding;
      while (holding < 3) std::this_thread::yield();
      Lock* const next = locks[(id + 1) % 3];
      const AcquireStatus status = next->Acquire(ThisThread(), Patience{});
      if (status == AcquireStatus::kDeadlock) {
        ++deadlocks;
      } else {
        CHECK(status == AcquireStatus::kAcquired);
        Give(next);
      }
      Give(locks[id]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(deadlocks >= 1);
}

// Threads that take two locks in one order never wait in a circle, however fast all of it changes.
TEST(threads_in_order_are_never_told_of_a_deadlock) {
  ProcessLock* const locks[3] = {Named("x"), Named("y"), Named("z")};
  std::vector<std::thread> threads;
  for (int id = 0; id < 4; ++id) {
    threads.emplace_back([&, id] {
      for (int i = 0; i < 20000; ++i) {
        Lock* const outer = locks[(i + id) % 2];
        Lock* const inner = locks[(i + id) % 2 + 1];
        Take(outer);
        if (i % 16 == 0) std::this_thread::yield();
        Take(inner);
        Give(inner);
        Give(outer);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(thread_that_ends_orphans_all_that_it_holds) {
  ProcessLock* const lock = Named("lock");
  ProcessSemaphore* const permits = Semaphore("permits", 2);
  std::thread([&] {
    Take(lock);
    Take(permits);
    Take(permits);
  }).join();
  for (Lock* const each : {static_cast<Lock*>(lock), static_cast<Lock*>(permits)}) {
    CHECK(each->IsOrphaned());
    CHECK(!each->IsHeld());
    CHECK(each->TryAcquire(ThisThread()) == AcquireStatus::kOwnerDied);
    Give(each);  // without a repair
    CHECK(each->TryAcquire(ThisThread()) == AcquireStatus::kNotRecoverable);
    CHECK(each->Acquire(ThisThread(), Patience{}) == AcquireStatus::kNotRecoverable);
  }
  LocksRefusal refusal;
  CHECK(Locks().AcquireAllForFork(ThisThread(), kNoDeadline, &refusal));  // they hinder no fork
  Locks().ReleaseAllAfterFork(ThisThread());
}

// Who had its permit before another holder ended was told nothing, and spoils nothing.
TEST(permit_that_was_taken_before_an_owner_died_is_given_back_in_peace) {
  ProcessSemaphore* const permits = Semaphore("permits", 2);
  Take(permits);
  std::thread([&] { Take(permits); }).join();
  CHECK(permits->IsOrphaned());
  Give(permits);
  CHECK(permits->TryAcquire(ThisThread()) == AcquireStatus::kOwnerDied);
  CHECK(permits->MakeConsistent(ThisThread()));
  CHECK(!permits->IsOrphaned());
  Give(permits);
  CHECK(permits->TryAcquire(ThisThread()) == AcquireStatus::kAcquired);
}

// Who has repaired it owes nothing for the next holder that ends.
TEST(repair_counts_for_all_permits) {
  ProcessSemaphore* const permits = Semaphore("permits", 2);
  std::thread([&] { Take(permits); }).join();
  CHECK(permits->TryAcquire(ThisThread()) == AcquireStatus::kOwnerDied);
  CHECK(permits->MakeConsistent(ThisThread()));
  std::thread([&] { Take(permits); }).join();
  CHECK(permits->IsOrphaned());
  Give(permits);
  CHECK(permits->TryAcquire(ThisThread()) == AcquireStatus::kOwnerDied);
}

TEST(permit_is_given_back_by_its_holder_alone) {
  ProcessSemaphore* const permits = Semaphore("permits", 1);
  CHECK(!permits->Release(ThisThread()));
  Take(permits);
  std::thread([&] {
    CHECK(!permits->Release(ThisThread()));
    CHECK(!permits->MakeConsistent(ThisThread()));
  }).join();
  CHECK(!permits->ReleaseByLoop(ThisThread()));
  Give(permits);
  CHECK_EQ(permits->Holders(nullptr, 0), 0u);
}

// The child has no copy of an event loop's guard.
TEST(what_a_loop_holds_is_orphaned_in_the_child) {
  ProcessLock* const lock = Named("lock");
  ProcessSemaphore* const permits = Semaphore("permits", 1);
  atfork::LoopWaker loop([](atfork::LoopWaker*) {});
  for (Lock* const each : {static_cast<Lock*>(lock), static_cast<Lock*>(permits)}) {
    atfork::Waiter waiter(ThisThread(), &loop);
    CHECK(each->Enqueue(&waiter) == AcquireStatus::kAcquired);
  }
  LocksRefusal refusal;
  CHECK(Locks().AcquireAllForFork(ThisThread(), kNoDeadline, &refusal));
  const pid_t pid = Fork([&] {
    Locks().ReleaseAllAfterFork(ThisThread());
    for (Lock* const each : {static_cast<Lock*>(lock), static_cast<Lock*>(permits)}) {
      CHECK(!each->IsHeld() && each->IsOrphaned());
      CHECK(!each->ReleaseByLoop(ThisThread()));
      CHECK(each->TryAcquire(ThisThread()) == AcquireStatus::kOwnerDied);
    }
  });
  Locks().ReleaseAllAfterFork(ThisThread());
  CheckChild(pid);
  CHECK(lock->ReleaseByLoop(ThisThread()));
  CHECK(permits->ReleaseByLoop(ThisThread()));
  CHECK(!lock->IsOrphaned() && !permits->IsOrphaned());
}

}  // namespace

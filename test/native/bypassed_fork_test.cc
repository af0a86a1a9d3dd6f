// bypassed_fork_test.cc - children that were made past the at-fork handlers: they know it, and hang nowhere.
// Runs in:  native_tests, each test in a process of its own.
#include "posix/bypassed_fork.h"

#include <cerrno>

#include "include/atfork.h"
#include "lock_helpers.h"
#include "posix/at_fork_hook.h"
#include "posix/named_lock.h"
#include "posix/process_state.h"
#include "semantics_helpers.h"

extern "C" const atfork_api* atfork_get_api_v1();

namespace {

using atfork::AcquireStatus;
using atfork::FinishOwnFork;
using atfork::IsBypassedFork;
using atfork::kNoDeadline;
using atfork::LocksRefusal;
using atfork::PrepareOwnFork;
using atfork::ThisThread;
using atfork::test::AwaitWaiter;
using atfork::test::CannotShow;
using atfork::test::CheckChild;
using atfork::test::Elsewhere;
using atfork::test::Fork;
using atfork::test::RawClone;
using atfork::test::Stage;
using atfork::test::UnderscoreFork;

const atfork_api& api = *atfork_get_api_v1();

void NeedTheMark() {
  if (atfork::GetProcessState()->fork_mark == nullptr) CannotShow("no MADV_WIPEONFORK before Linux 4.14");
}

int Lock() { return api.lock(api.global_lock()); }
int Unlock() { return api.unlock(api.global_lock()); }

// Another thread that has the global lock.
struct Holder : Elsewhere {
  Holder() : Elsewhere([] { CHECK_EQ(Lock(), 0); }, [] { CHECK_EQ(Unlock(), 0); }) {}
};

// What any child made past the handlers has of a lock that a lost thread holds, and of one that is free.
void CheckLocksOfABypassedFork(atfork_lock* free) {
  CHECK_EQ(api.bypassed(), 1);
  CHECK_EQ(Lock(), ESTALE);
  CHECK_EQ(api.timed_lock(api.global_lock(), int64_t{1} << 40), ESTALE);
  CHECK_EQ(api.timed_lock(api.global_lock(), 0), EBUSY);
  for (int i = 0; i < 2; ++i) CHECK_EQ(api.lock(free), 0);
  std::thread([=] {
    CHECK_EQ(api.bypassed(), 1);
    CHECK_EQ(api.lock(free), ESTALE);
  }).join();
  for (int i = 0; i < 2; ++i) CHECK_EQ(api.unlock(free), 0);
}

TEST(bypassed_fork_is_told_and_does_not_wait) {
  NeedTheMark();
  CHECK(ATFORK_HAS(&api, bypassed));
  CHECK_EQ(api.bypassed(), 0);
  atfork_lock* free = nullptr;
  CHECK_EQ(api.named_lock("free", 0, &free), 0);
  Holder holder;
  CheckChild(RawClone([=] { CheckLocksOfABypassedFork(free); }));
  CHECK_EQ(api.bypassed(), 0);
  holder.End();
  CHECK_EQ(Lock(), 0);
}

TEST(bypassed_fork_by_libc_is_told_and_does_not_wait) {
  NeedTheMark();
  atfork_lock* free = nullptr;
  CHECK_EQ(api.named_lock("free", 0, &free), 0);
  Holder holder;
  CheckChild(UnderscoreFork([=] { CheckLocksOfABypassedFork(free); }));
  CHECK_EQ(api.bypassed(), 0);
}

TEST(bypassed_fork_keeps_what_its_thread_held) {
  NeedTheMark();
  for (int i = 0; i < 2; ++i) CHECK_EQ(Lock(), 0);
  CheckChild(RawClone([] {
    CHECK_EQ(Lock(), 0);
    for (int i = 0; i < 3; ++i) CHECK_EQ(Unlock(), 0);
    CHECK_EQ(Unlock(), EPERM);
  }));
  for (int i = 0; i < 2; ++i) CHECK_EQ(Unlock(), 0);
}

// Who has waited for long enough is given the lock, if it is there.
TEST(bypassed_fork_gives_its_locks_to_no_waiter_of_its_parent) {
  NeedTheMark();
  auto& lock = atfork::GetProcessState()->global_lock;
  const auto made = atfork::OpenNamedSemaphore("semaphore", 1, 0);
  CHECK(made.ok());
  atfork::ProcessSemaphore& semaphore = *made.value();
  CHECK_EQ(Lock(), 0);
  CHECK(semaphore.TryAcquire(ThisThread()) == AcquireStatus::kAcquired);
  std::thread for_lock([] { CHECK(Lock() == 0 && Unlock() == 0); });
  std::thread for_semaphore([&] {
    CHECK(semaphore.Acquire(ThisThread(), {}) == AcquireStatus::kAcquired);
    CHECK(semaphore.Release(ThisThread()));
  });
  AwaitWaiter(lock);
  while (semaphore.Waiters(nullptr, 0) == 0) std::this_thread::yield();
  const int64_t due = atfork::MonotonicNanos() + 2 * atfork::Waiter::kFair;
  while (atfork::MonotonicNanos() < due) std::this_thread::yield();
  CheckChild(RawClone([&] {
    for (int i = 0; i < 2; ++i) {
      CHECK_EQ(Unlock(), 0);
      CHECK_EQ(Lock(), 0);
      CHECK(semaphore.Release(ThisThread()));
      CHECK(semaphore.TryAcquire(ThisThread()) == AcquireStatus::kAcquired);
    }
  }));
  CHECK_EQ(Unlock(), 0);
  CHECK(semaphore.Release(ThisThread()));
  for_lock.join();
  for_semaphore.join();
}

TEST(bypassed_fork_does_not_wait_for_a_semaphore) {
  NeedTheMark();
  const auto made = atfork::OpenNamedSemaphore("semaphore", 1, 0);
  CHECK(made.ok());
  atfork::ProcessSemaphore& semaphore = *made.value();
  Elsewhere holder([&] { CHECK(semaphore.TryAcquire(ThisThread()) == AcquireStatus::kAcquired); },
                   [&] { CHECK(semaphore.Release(ThisThread())); });
  CheckChild(RawClone([&] {
    CHECK(semaphore.Acquire(ThisThread(), {}) == AcquireStatus::kBypassed);
    CHECK(semaphore.TryAcquire(ThisThread()) == AcquireStatus::kTimedOut);
  }));
}

TEST(child_of_a_bypassed_fork_is_whole_again) {
  NeedTheMark();
  Holder holder;
  CheckChild(RawClone([] {
    CheckChild(Fork([] {
      CHECK_EQ(api.bypassed(), 0);
      CHECK_EQ(Lock(), EOWNERDEAD);
      CHECK_EQ(api.make_consistent(api.global_lock()), 0);
      CHECK_EQ(Unlock(), 0);
    }));
    CHECK_EQ(api.bypassed(), 1);
  }));
}

TEST(bypassed_fork_makes_none_of_ours) {
  NeedTheMark();
  CheckChild(RawClone([] {
    LocksRefusal refusal;
    CHECK(!PrepareOwnFork(kNoDeadline, &refusal));
    CHECK(refusal.status == AcquireStatus::kBypassed);
    CHECK_EQ(Lock(), 0);
    CHECK_EQ(Unlock(), 0);
  }));
}

TEST(forks_with_handlers_are_not_taken_for_bypassed) {
  CHECK(!IsBypassedFork());
  CheckChild(Fork([] {
    CHECK(!IsBypassedFork());
    CheckChild(Fork([] { CHECK(!IsBypassedFork()); }));
  }));
  LocksRefusal refusal;
  CHECK(PrepareOwnFork(kNoDeadline, &refusal));
  CheckChild(Fork([] {
    CHECK(!IsBypassedFork());
    FinishOwnFork();
    CHECK(!IsBypassedFork());
  }));
  FinishOwnFork();
  // Its memory is this process's, and so are its locks.
  volatile bool told = true;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  const pid_t pid = vfork();  // NOLINT
#pragma GCC diagnostic pop
  if (pid == 0) {
    told = IsBypassedFork();
    _exit(0);
  }
  CheckChild(pid);
  CHECK(!told);
  CHECK(!IsBypassedFork());
}

// It looks as a child of fork(2) does before the mark is set again, and that must not be taken for one.
TEST(bypassed_fork_inside_of_a_handler_is_not_known) {
  static bool made = false;
  const atfork_handlers handlers = {0,
                                    [](void*) {
                                      CheckChild(RawClone([] { CHECK_EQ(api.bypassed(), 0); }));
                                      made = true;
                                    },
                                    nullptr, nullptr, nullptr};
  uint32_t id = 0;
  CHECK_EQ(api.add_handlers(&handlers, &id), 0);
  CheckChild(Fork([] { CHECK_EQ(api.bypassed(), 0); }));
  CHECK(made);
}

TEST(bypassed_fork_does_not_wait_for_forks_of_its_parent) {
  NeedTheMark();
  static Stage stage;
  const atfork_handlers handlers = {0,
                                    [](void*) {
                                      stage.Reach(1);
                                      stage.Await(2);
                                    },
                                    nullptr, nullptr, nullptr};
  uint32_t id = 0;
  CHECK_EQ(api.add_handlers(&handlers, &id), 0);
  std::thread forks([] { CheckChild(Fork([] {})); });
  stage.Await(1);
  CheckChild(RawClone([=] { CHECK_EQ(api.remove_handlers(id), 0); }));
  stage.Reach(2);
  forks.join();
}

}  // namespace

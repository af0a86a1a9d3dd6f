// process_lock_fork_test.cc - the global lock and real forks: those of fork(), which wait for the lock first, and those
// that know nothing of it.
// Runs in:  native_tests, each test in a process of its own.
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "lock_helpers.h"
#include "posix/process_lock.h"
#include "posix/process_state.h"
#include "test.h"

namespace {

using atfork::AcquireStatus;
using atfork::DeadlineAfterMs;
using atfork::kNoDeadline;
using atfork::ProcessLock;
using atfork::ThisThread;
using atfork::test::AwaitWaiter;
using atfork::test::CheckChild;
using atfork::test::Fork;
using atfork::test::kHeldBit;
using atfork::test::OwnerOf;
using atfork::test::WordOf;

ProcessLock& lock = atfork::GetProcessState()->global_lock;

AcquireStatus Try() { return lock.TryAcquire(ThisThread()); }
bool Release() { return lock.Release(ThisThread()); }
uint32_t Depth() { return OwnerOf(lock).depth; }

// What fork() of this library does with the lock; nullopt when it was not to be had in time.
template <typename Body>
std::optional<pid_t> ForkOurs(int64_t deadline, Body body) {
  if (!IsAcquired(lock.AcquireForFork(ThisThread(), deadline))) return std::nullopt;
  const pid_t pid = Fork([&] {
    lock.ReleaseAfterFork(ThisThread());
    body();
  });
  lock.ReleaseAfterFork(ThisThread());
  return pid;
}

void CheckFreeAndQuiet() {
  CHECK_EQ(WordOf(lock), ThisThread().generation);
  CHECK(Try() == AcquireStatus::kAcquired);
  CHECK(Release());
  CHECK_EQ(WordOf(lock), ThisThread().generation);
}

// A thread that holds the lock until it is told to let go.
class Holder {
 public:
  Holder() : thread_([this] { Run(); }) {
    while (!holds_) std::this_thread::yield();
  }
  ~Holder() {
    if (thread_.joinable()) LetGo();
  }
  void LetGo() {
    let_go_ = true;
    thread_.join();
  }
  void LetGoLater() { let_go_ = true; }
  pid_t tid() const { return tid_; }

 private:
  void Run() {
    CHECK(IsAcquired(lock.Acquire(ThisThread(), kNoDeadline)));
    tid_ = ThisThread().tid;
    holds_ = true;
    while (!let_go_) std::this_thread::yield();
    CHECK(Release());
  }

  std::atomic<bool> holds_{false};
  std::atomic<bool> let_go_{false};
  std::atomic<pid_t> tid_{0};
  std::thread thread_;
};

TEST(fork_of_a_free_lock_is_a_free_lock) {
  const atfork::ThreadIdentity before = ThisThread();
  CheckChild(Fork([&] {
    CHECK_EQ(ThisThread().token, before.token);
    CHECK_EQ(ThisThread().generation, before.generation + 1);
    CHECK_EQ(ThisThread().tid, getpid());
    CHECK_EQ(ThisThread().pid, getpid());
    CheckFreeAndQuiet();
  }));
  CHECK_EQ(ThisThread().generation, before.generation);
  CheckFreeAndQuiet();
}

TEST(our_fork_waits_for_the_holder) {
  Holder holder;
  std::thread releaser([&] {
    AwaitWaiter(lock);
    holder.LetGoLater();
  });
  const auto pid = ForkOurs(kNoDeadline, CheckFreeAndQuiet);
  CHECK(pid.has_value());
  releaser.join();
  CheckChild(*pid);
  CHECK(Try() == AcquireStatus::kAcquired);
  CHECK(Release());
}

TEST(our_fork_gives_up_at_its_deadline_and_nothing_has_changed) {
  Holder holder;
  CHECK(!ForkOurs(DeadlineAfterMs(20), [] {}).has_value());
  CHECK_EQ(OwnerOf(lock).thread.tid, holder.tid());
  CHECK_EQ(waitpid(-1, nullptr, 0), -1);
  CHECK_EQ(errno, ECHILD);
  holder.LetGo();
  CheckFreeAndQuiet();
}

TEST(lock_held_by_the_forking_thread_stays_as_deep_on_both_sides) {
  for (uint32_t depth = 1; depth <= 3; ++depth) {
    for (uint32_t i = 0; i < depth; ++i) CHECK(IsAcquired(Try()));
    const auto check = [depth] {
      CHECK_EQ(Depth(), depth);
      CHECK_EQ(OwnerOf(lock).thread.pid, getpid());
      CHECK_EQ(OwnerOf(lock).thread.tid, ThisThread().tid);
      std::thread([] { CHECK(Try() == AcquireStatus::kTimedOut); }).join();
      for (uint32_t i = 0; i < depth; ++i) CHECK(Release());
      CHECK(!Release());
      CheckFreeAndQuiet();
    };
    const pid_t foreign = Fork(check);
    const auto ours = ForkOurs(0, check);
    CHECK(ours.has_value());
    check();
    CheckChild(foreign);
    CheckChild(*ours);
  }
}

TEST(foreign_fork_does_not_wait_for_a_holder_and_its_child_is_told) {
  Holder holder;
  const pid_t parent = getpid();
  // The holder lets go only after the fork: if that waited for it, this test would not end.
  CheckChild(Fork([&] {
    CHECK(!lock.IsHeld());
    CHECK(lock.IsOrphaned());
    CHECK_EQ(OwnerOf(lock).thread.pid, parent);
    CHECK_EQ(OwnerOf(lock).thread.tid, holder.tid());
    CHECK(Try() == AcquireStatus::kOwnerDied);
    CHECK_EQ(OwnerOf(lock).thread.tid, getpid());
    CHECK(lock.MakeConsistent(ThisThread()));
    CHECK(Release());
    CheckFreeAndQuiet();
  }));
  CHECK_EQ(OwnerOf(lock).thread.tid, holder.tid());
  CHECK(!lock.IsOrphaned());
  holder.LetGo();
  CheckFreeAndQuiet();
}

TEST(foreign_fork_waits_for_a_short_section) {
  // Somebody holds the lock nearly all of the time, but never for long: children with an orphan would be the exception.
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    while (!stop) {
      CHECK(IsAcquired(lock.Acquire(ThisThread(), kNoDeadline)));
      CHECK(Release());
    }
  });
  int orphaned = 0;
  for (int i = 0; i < 50; ++i) {
    const pid_t pid = Fork([] { _exit(lock.IsOrphaned() ? 2 : 0); });
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2) ++orphaned;
  }
  stop = true;
  worker.join();
  CHECK(orphaned < 25);
}

TEST(queue_of_waiters_does_not_come_along) {
  CHECK(IsAcquired(Try()));
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([] {
      CHECK(lock.Acquire(ThisThread(), kNoDeadline) == AcquireStatus::kAcquired);
      CHECK(Release());
    });
  }
  AwaitWaiter(lock);
  const auto check = [] {
    CHECK_EQ(WordOf(lock), kHeldBit | ThisThread().token);  // no waiters' bit: the release makes no system call
    CHECK(Release());
    CheckFreeAndQuiet();
  };
  CheckChild(Fork(check));
  const auto ours = ForkOurs(0, check);
  CHECK(ours.has_value());
  CheckChild(*ours);
  CHECK(Release());
  for (std::thread& waiter : waiters) waiter.join();
}

TEST(fork_neither_repairs_an_orphan_nor_spoils_it) {
  std::thread([] { CHECK(IsAcquired(Try())); }).join();
  CHECK(lock.IsOrphaned());
  const auto check = [] {
    CHECK(lock.IsOrphaned());
    CHECK(Try() == AcquireStatus::kOwnerDied);
    CheckChild(Fork([] {  // held, and not repaired: the child's copy has the same duty
      CHECK(lock.IsOrphaned());
      CHECK(Release());
      CHECK(Try() == AcquireStatus::kNotRecoverable);
    }));
    CHECK(lock.MakeConsistent(ThisThread()));
    CHECK(Release());
    CheckFreeAndQuiet();
  };
  CheckChild(Fork(check));
  const auto ours = ForkOurs(0, check);
  CHECK(ours.has_value());
  CheckChild(*ours);
  check();
}

TEST(lock_that_is_lost_stays_lost_in_the_child_and_hinders_no_fork) {
  std::thread([] { CHECK(IsAcquired(Try())); }).join();
  CHECK(Try() == AcquireStatus::kOwnerDied);
  CHECK(Release());
  CHECK(lock.AcquireForFork(ThisThread(), kNoDeadline) == AcquireStatus::kNotRecoverable);
  lock.ReleaseAfterFork(ThisThread());
  CheckChild(Fork([] { CHECK(Try() == AcquireStatus::kNotRecoverable); }));
  CHECK(Try() == AcquireStatus::kNotRecoverable);
}

TEST(fork_that_fails_leaves_the_lock_and_errno_as_they_should_be) {
  CHECK(IsAcquired(Try()));
  // Root may exceed the limit; this test's process need not stay root.
  if (getuid() == 0) CHECK_EQ(setuid(65534), 0);
  const rlimit none = {0, 0};
  CHECK_EQ(setrlimit(RLIMIT_NPROC, &none), 0);
  CHECK(IsAcquired(lock.AcquireForFork(ThisThread(), 0)));
  errno = 0;
  CHECK_EQ(fork(), -1);
  CHECK_EQ(errno, EAGAIN);
  CHECK_EQ(Depth(), 2u);
  lock.ReleaseAfterFork(ThisThread());
  CHECK_EQ(Depth(), 1u);
  CHECK(Release());
  CheckFreeAndQuiet();
}

void TenGenerations(uint32_t first, int left) {
  CHECK_EQ(ThisThread().generation, first + 10 - static_cast<uint32_t>(left));
  CHECK(Try() == AcquireStatus::kAcquired);
  if (left > 0) {
    const auto pid = ForkOurs(0, [=] { TenGenerations(first, left - 1); });
    CHECK(pid.has_value());
    CheckChild(*pid);
  }
  CHECK_EQ(Depth(), static_cast<uint32_t>(10 - left + 1));
  std::thread([] { CHECK(Try() == AcquireStatus::kTimedOut); }).join();
}

TEST(ten_generations_each_one_deeper) { TenGenerations(ThisThread().generation, 10); }

TEST(forks_from_several_threads_at_once) {
  std::vector<std::thread> threads;
  for (int id = 0; id < 4; ++id) {
    threads.emplace_back([id] {
      for (int i = 0; i < 50; ++i) {
        const auto child = [] {
          const bool orphaned = lock.IsOrphaned();
          CHECK(Try() == (orphaned ? AcquireStatus::kOwnerDied : AcquireStatus::kAcquired));
          CHECK(lock.MakeConsistent(ThisThread()));
          CHECK(Release());
          CheckFreeAndQuiet();
        };
        if (id % 2 == 0) {
          CheckChild(Fork(child));
        } else {
          const auto pid = ForkOurs(kNoDeadline, [&] {
            CHECK(!lock.IsOrphaned());
            child();
          });
          CHECK(pid.has_value());
          CheckChild(*pid);
        }
        CHECK(IsAcquired(lock.Acquire(ThisThread(), kNoDeadline)));
        CHECK(Release());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(!lock.IsHeld());
  CHECK(!lock.IsOrphaned());
}

void ForkOnce(void* arg) {
  bool& done = *static_cast<bool*>(arg);
  if (done) return;
  done = true;
  CheckChild(Fork([] { CHECK(Try() == AcquireStatus::kAcquired); }));
}

// In every phase, on both sides of the lock's own handler.
TEST(handlers_that_fork_leave_the_depth_right) {
  static bool done[6] = {};
  static const atfork::AtForkHandler handlers[6] = {
      {-1, ForkOnce, nullptr, nullptr, &done[0]},   {-1, nullptr, ForkOnce, nullptr, &done[1]},
      {-1, nullptr, nullptr, ForkOnce, &done[2]},   {9999, ForkOnce, nullptr, nullptr, &done[3]},
      {9999, nullptr, ForkOnce, nullptr, &done[4]}, {9999, nullptr, nullptr, ForkOnce, &done[5]},
  };
  for (const auto& handler : handlers) {
    CHECK(atfork::GetProcessState()->at_fork.Add(&handler) < atfork::AtForkList::kCapacity);
  }
  CheckChild(Fork(CheckFreeAndQuiet));
  CHECK(done[0] && done[1] && done[3] && done[4]);
  CheckFreeAndQuiet();
}

}  // namespace

// shared_lock_test.cc - the lock between processes, with real processes, killed owners, tids that are used again, and
// pages in which anything may stand. Runs in:  native_tests, each test in a process of its own.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "claim.h"
#include "lock_helpers.h"
#include "posix/process_state.h"
#include "posix/shared_object.h"
#include "posix/shared_page.h"
#include "test.h"

namespace {

using atfork::AcquireStatus;
using atfork::DeadlineAfterMs;
using atfork::kNoDeadline;
using atfork::MonotonicNanos;
using atfork::Patience;
using atfork::SharedLock;
using atfork::SharedPage;
using atfork::ThisThread;
using atfork::test::Atfork;
using atfork::test::CheckChild;
using atfork::test::Fork;
using atfork::test::Glibc;
using atfork::test::Posix;
using atfork::test::Stage;

constexpr uint32_t kReserved = 1u << 26;
constexpr uint32_t kHeld = 1u << 29;
constexpr uint32_t kOrphaned = 1u << 30;

atfork::SharedLocks& locks = atfork::GetProcessState()->shared_locks;

SharedLock& NewLock() {
  const auto lock = locks.CreateAnonymous();
  CHECK(lock.ok());
  return *lock.value();
}

// Seen as another process sees it.
SharedPage& PageOf(const SharedLock& lock) {
  void* const page = mmap(nullptr, SharedPage::kSize, PROT_READ | PROT_WRITE, MAP_SHARED, lock.fd(), 0);
  CHECK(page != MAP_FAILED);
  return *static_cast<SharedPage*>(page);
}

template <typename T>
T& Shared() {
  void* const memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return *new (memory) T;
}

AcquireStatus Try(SharedLock& lock) { return lock.TryAcquire(ThisThread()); }
AcquireStatus Take(SharedLock& lock) { return lock.Acquire(ThisThread(), Patience{DeadlineAfterMs(20'000)}); }
bool Give(SharedLock& lock) { return lock.Release(ThisThread()); }

// Runs `body` in a child, which is then killed.
template <typename Body>
void KilledAfter(Body body) {
  int told[2];
  CHECK_EQ(pipe(told), 0);
  const pid_t pid = Fork([&] {
    body();
    CHECK_EQ(write(told[1], "x", 1), 1);
    pause();
  });
  char byte;
  CHECK_EQ(read(told[0], &byte, 1), 1);
  kill(pid, SIGKILL);
  int status = 0;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK(WIFSIGNALED(status));
  close(told[0]);
  close(told[1]);
}

void CheckWhole(SharedLock& lock) {
  CHECK(Take(lock) == AcquireStatus::kAcquired);
  CHECK(Give(lock));
  CHECK(!lock.IsHeld() && !lock.IsOrphaned() && !lock.Owner().has_value());
}

void RepairAndCheck(SharedLock& lock) {
  CHECK(Take(lock) == AcquireStatus::kOwnerDied);
  CHECK(lock.MakeConsistent(ThisThread()));
  CHECK(Give(lock));
  CheckWhole(lock);
}

}  // namespace

TEST(shared_lock_excludes_threads_of_several_processes) {
  SharedLock& lock = NewLock();
  volatile uint64_t& counter = Shared<volatile uint64_t>();
  constexpr int kRounds = 5'000;
  const auto count = [&] {
    for (int i = 0; i < kRounds; ++i) {
      CHECK(Take(lock) == AcquireStatus::kAcquired);
      if (i % 3 == 0) CHECK(Try(lock) == AcquireStatus::kAcquired);
      counter = counter + 1;
      if (i % 3 == 0) CHECK(Give(lock));
      CHECK(Give(lock));
    }
  };
  const auto twice = [&] {
    std::thread other(count);
    count();
    other.join();
  };
  const pid_t first = Fork(twice);
  const pid_t second = Fork(twice);
  twice();
  CheckChild(first);
  CheckChild(second);
  CHECK_EQ(counter, uint64_t{6 * kRounds});
  CheckWhole(lock);
}

CLAIM(
    shared_lock_of_a_killed_owner_is_orphaned, "locks", "The process that holds a lock between processes is killed",
    Posix("pthread_mutex_lock(): EOWNERDEAD for a robust mutex; for any other the behaviour of the next locker is not "
          "defined"),
    Glibc("the kernel marks robust mutexes, which it finds by pointers in the shared memory"),
    Atfork(
        "`SharedLock`: the next owner is told, as with a robust mutex. The kernel knows by record locks that the owner "
        "is gone; there are no pointers in the shared memory"),
    "shared_lock_is_told_from_a_loop_of_a_killed_process shared_lock_is_orphaned_by_a_thread_that_ends "
    "shared_lock_survives_whatever_stands_in_its_page");
TEST(shared_lock_of_a_killed_owner_is_orphaned) {
  SharedLock& lock = NewLock();
  KilledAfter([&] {
    CHECK(Take(lock) == AcquireStatus::kAcquired);
    CHECK(Try(lock) == AcquireStatus::kAcquired);
  });
  CHECK(!lock.IsHeld() && lock.IsOrphaned());
  CHECK(lock.Owner()->depth == 0);
  RepairAndCheck(lock);

  // Nobody had noticed, and it is given up unrepaired.
  KilledAfter([&] { CHECK(Take(lock) == AcquireStatus::kAcquired); });
  CHECK(Try(lock) == AcquireStatus::kOwnerDied);
  CHECK(Give(lock));
  CHECK(Try(lock) == AcquireStatus::kNotRecoverable);
  CHECK(Take(lock) == AcquireStatus::kNotRecoverable);
}

// However many have used it before.
TEST(shared_lock_knows_its_owner_among_many) {
  SharedLock& lock = NewLock();
  for (int i = 0; i < 400; ++i) {
    pid_t tid = 0;
    std::thread([&] {
      CHECK(IsAcquired(Take(lock)));
      tid = ThisThread().tid;
      CHECK(lock.Owner()->thread.pid == getpid() && lock.Owner()->thread.tid == tid);
      CHECK(lock.MakeConsistent(ThisThread()));
    }).join();
    CHECK(lock.Owner()->depth == 0 && lock.Owner()->thread.pid == getpid() && lock.Owner()->thread.tid == tid);
  }
}

TEST(shared_lock_is_told_from_a_loop_of_a_killed_process) {
  SharedLock& lock = NewLock();
  KilledAfter([&] { CHECK(lock.TryAcquireByLoop(ThisThread(), 0) == AcquireStatus::kAcquired); });
  RepairAndCheck(lock);
}

TEST(shared_lock_is_orphaned_by_a_thread_that_ends) {
  SharedLock& lock = NewLock();
  std::thread([&] { CHECK(Take(lock) == AcquireStatus::kAcquired); }).join();
  RepairAndCheck(lock);
  // A thread that has the tid of one that was there before is another one.
  for (int i = 0; i < 100; ++i) {
    std::thread([&] { CheckWhole(lock); }).join();
  }
}

CLAIM(
    shared_lock_belongs_to_the_parent_of_a_fork, "locks", "A thread forks that holds a lock between processes",
    Posix("pthread_mutex_unlock(): by the owner, a thread; the child's is another"),
    Glibc("the parent's: its owner is the parent's tid"),
    Atfork(
        "`SharedLock`: the parent's. The child waits for it, cannot release it, and keeps nothing that makes its owner "
        "look alive"),
    "shared_lock_leaves_no_descriptor_to_its_child");
TEST(shared_lock_belongs_to_the_parent_of_a_fork) {
  SharedLock& lock = NewLock();
  CHECK(Take(lock) == AcquireStatus::kAcquired);
  CheckChild(Fork([&] {
    CHECK(!Give(lock));
    CHECK(!lock.MakeConsistent(ThisThread()));
    CHECK(Try(lock) == AcquireStatus::kTimedOut);
    CHECK(lock.Acquire(ThisThread(), Patience{DeadlineAfterMs(5)}) == AcquireStatus::kTimedOut);
  }));
  CHECK(Give(lock));
  CheckChild(Fork([&] { CheckWhole(lock); }));
  CheckWhole(lock);
}

// The kernel gives a tid away again. Here: the word says that this thread has the lock, which it has never heard of.
CLAIM(shared_lock_of_a_dead_thread_with_the_same_tid_is_orphaned, "locks",
      "A new thread has the tid of one that died holding a lock",
      Posix("not said: a pthread_t is an address of one process"),
      Glibc("robust mutexes are marked when their owner dies, before its tid can be used again"),
      Atfork("`SharedLock`: it does not hold the lock, and gets it as the next owner, told so"));
TEST(shared_lock_of_a_dead_thread_with_the_same_tid_is_orphaned) {
  SharedLock& lock = NewLock();
  SharedPage& page = PageOf(lock);
  page.word = kHeld | (static_cast<uint32_t>(ThisThread().tid) << 1);
  page.extra_depth = 7;
  CHECK(!Give(lock));
  CHECK(Try(lock) == AcquireStatus::kOwnerDied);
  CHECK_EQ(page.extra_depth.load(), 0u);
  CHECK(lock.MakeConsistent(ThisThread()));
  CHECK(Give(lock));
  CheckWhole(lock);
}

TEST(shared_lock_that_is_reserved_falls_to_anybody_in_the_end) {
  SharedLock& lock = NewLock();
  SharedPage& page = PageOf(lock);
  page.reserved_at = MonotonicNanos() + 1'000'000'000'000;  // by a clock that is not ours
  page.word = kReserved;
  CHECK(Try(lock) == AcquireStatus::kAcquired);
  CHECK(Give(lock));
  CHECK_EQ(page.word.load(), 0u);

  page.reserved_at = MonotonicNanos();
  page.word = kReserved;
  AcquireStatus status = Try(lock);
  if (MonotonicNanos() - page.reserved_at < 10'000'000) CHECK(status == AcquireStatus::kTimedOut);
  while (status == AcquireStatus::kTimedOut) status = Try(lock);
  CHECK(status == AcquireStatus::kAcquired);
  CHECK(MonotonicNanos() - page.reserved_at >= 10'000'000);
  CHECK(Give(lock));

  page.reserved_at = MonotonicNanos();
  page.word = kReserved | kOrphaned;
  RepairAndCheck(lock);
}

// Whoever has waited for a millisecond is next, whatever the others do.
TEST(shared_lock_starves_nobody) {
  SharedLock& lock = NewLock();
  auto& stop = Shared<std::atomic<bool>>();
  const pid_t greedy = Fork([&] {
    while (!stop) {
      CHECK(Take(lock) == AcquireStatus::kAcquired);
      CHECK(Give(lock));
    }
  });
  for (int i = 0; i < 50; ++i) {
    CHECK(Take(lock) == AcquireStatus::kAcquired);
    CHECK(Give(lock));
  }
  stop = true;
  CheckChild(greedy);
}

TEST(shared_lock_survives_whatever_stands_in_its_page) {
  SharedLock& lock = NewLock();
  SharedPage& page = PageOf(lock);
  CheckWhole(lock);
  std::minstd_rand random(7);
  for (int i = 0; i < 3'000; ++i) {
    auto* const bytes = reinterpret_cast<unsigned char*>(&page);
    // Not in the header: that is checked when it is opened. Nor for ever: each wait is cut short.
    for (size_t at = offsetof(SharedPage, word); at < sizeof page; ++at)
      bytes[at] = static_cast<unsigned char>(random());
    if (i % 2 == 0) page.word = page.word & (kHeld | kOrphaned | 0xffff);
    static_cast<void>(lock.Owner());
    static_cast<void>(lock.IsHeld());
    static_cast<void>(lock.IsOrphaned());
    if (IsAcquired(lock.Acquire(ThisThread(), Patience{MonotonicNanos() + 1000}))) static_cast<void>(Give(lock));
    static_cast<void>(lock.TryAcquireByLoop(ThisThread(), 1));
    static_cast<void>(lock.ReleaseByLoop(ThisThread()));
  }
}

TEST(shared_names_have_a_grammar) {
  for (const char* name : {"a", "7", "a.b-c_d", "A9."}) CHECK(atfork::IsSharedName(name));
  for (const char* name : {"", ".", "..", ".a", "-a", "_a", "a/b", "a b", "a\n", "\xc3\xa4"}) {
    CHECK(!atfork::IsSharedName(name));
  }
  CHECK(atfork::IsSharedName(std::string(100, 'a')) && !atfork::IsSharedName(std::string(101, 'a')));
}

TEST(shared_name_goes_when_nobody_uses_it) {
  const std::string name = "native-test-" + std::to_string(getpid());
  const std::string path = atfork::SharedPath(name);
  const auto created = locks.Create(name, false);
  CHECK(created.ok());
  struct stat made;
  CHECK_EQ(fstat(created.value()->fd(), &made), 0);
  CHECK(!atfork::UnlinkUnused(path, made.st_ino));
  CHECK(atfork::UnlinkUnused(path, made.st_ino + 1));  // another one of that name
  Stage& stage = Shared<Stage>();
  // A child uses it from the first, without a word. The stage is a futex of one process: so it is looked at.
  const pid_t child = Fork([&] {
    while (stage.value() < 1) std::this_thread::yield();
  });
  locks.Close(created.value(), ThisThread());
  CHECK(!atfork::UnlinkUnused(path, made.st_ino));
  stage.Reach(1);
  CheckChild(child);
  CHECK_EQ(access(path.c_str(), F_OK), 0);
  CHECK(atfork::UnlinkUnused(path, made.st_ino));
  CHECK_EQ(access(path.c_str(), F_OK), -1);
  const auto gone = locks.Open(name);
  CHECK(!gone.ok() && gone.error().errnum == ENOENT);
}

TEST(shared_lock_leaves_no_descriptor_to_its_child) {
  SharedLock& lock = NewLock();
  CHECK(Take(lock) == AcquireStatus::kAcquired);
  // The owner's presence is a description of its own, which a child that kept it would keep up.
  int told[2];
  CHECK_EQ(pipe(told), 0);
  const pid_t owner = Fork([&] {
    SharedLock& own = NewLock();
    CHECK(Take(own) == AcquireStatus::kAcquired);
    const pid_t orphan = Fork([&] {
      char byte;
      close(told[1]);
      while (read(told[0], &byte, 1) > 0) continue;  // until everybody else has ended
    });
    CHECK(orphan > 0);
    CHECK(Try(lock) == AcquireStatus::kTimedOut);
    CHECK(!Give(lock));
    _exit(0);
  });
  CheckChild(owner);
  close(told[1]);
  CHECK(Give(lock));
  KilledAfter([&] {
    CHECK(Take(lock) == AcquireStatus::kAcquired);
    const pid_t orphan = Fork([&] { pause(); });
    CHECK(orphan > 0);
  });
  RepairAndCheck(lock);
}

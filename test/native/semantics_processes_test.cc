// semantics_processes_test.cc - which ways of making a process run at-fork handlers, and which do not.
// Runs in:  native_tests, each test in a process of its own. man: vfork(2), posix_spawn(3), system(3), popen(3),
//           daemon(3), clone(2).
#include <spawn.h>

#include <cerrno>

#include "lock_helpers.h"
#include "posix/process_lock.h"
#include "posix/process_state.h"
#include "semantics_helpers.h"

extern char** environ;  // NOLINT

namespace {

using atfork::AcquireStatus;
using atfork::ThisThread;
using atfork::test::Atfork;
using atfork::test::CheckChild;
using atfork::test::Elsewhere;
using atfork::test::Fork;
using atfork::test::Glibc;
using atfork::test::NewMutex;
using atfork::test::Posix;
using atfork::test::RawClone;
using atfork::test::Shared;
using atfork::test::UnderscoreFork;

// How often each ran, in whatever process.
struct Runs {
  std::atomic<int> prepare, parent, child;
};
Runs* runs = nullptr;

void CountRuns() {
  runs = Shared<Runs>();
  CHECK_EQ(pthread_atfork([] { ++runs->prepare; }, [] { ++runs->parent; }, [] { ++runs->child; }), 0);
}

void CheckRuns(int each) {
  CHECK_EQ(runs->prepare, each);
  CHECK_EQ(runs->parent, each);
  CHECK_EQ(runs->child, each);
}

// What the child of a way that runs no handlers must not have done: taken a step to another generation.
void CheckStillOfTheParentsGeneration(uint32_t generation) { CHECK_EQ(ThisThread().generation, generation); }

CLAIM(vfork_runs_no_handlers, "processes", "vfork()",
      Posix("not in POSIX since 2008; before, only _exit() and exec were allowed in the child"),
      Glibc("no handlers run; the child has the parent's memory, and the parent's thread waits for it"),
      Atfork("nothing is done to locks, which are the parent's; the child is not taken for one that was made past the "
             "handlers"),
      "forks_with_handlers_are_not_taken_for_bypassed");
TEST(vfork_runs_no_handlers) {
  CountRuns();
  volatile int written = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  const pid_t pid = vfork();  // NOLINT
#pragma GCC diagnostic pop
  if (pid == 0) {
    written = 1;
    _exit(0);
  }
  CheckChild(pid);
  CHECK_EQ(written, 1);
  CheckRuns(0);
}

CLAIM(spawn_system_and_popen_run_no_handlers, "processes", "posix_spawn(), system(), popen()",
      Posix("unspecified whether handlers run"), Glibc("none do: posix_spawn(3) since 2.24, the others since 2.29"),
      Atfork("nothing is done to locks, and none is needed: a program is executed"));
TEST(spawn_system_and_popen_run_no_handlers) {
  CountRuns();
  char name[] = "true";
  char* const arguments[] = {name, nullptr};
  pid_t pid = 0;
  CHECK_EQ(posix_spawnp(&pid, name, nullptr, nullptr, arguments, environ), 0);
  CheckChild(pid);
  CHECK_EQ(system("exit 3"), 3 << 8);
  std::FILE* const pipe = popen("exit 4", "r");
  CHECK(pipe != nullptr);
  CHECK_EQ(pclose(pipe), 4 << 8);
  CheckRuns(0);
}

CLAIM(daemon_runs_handlers, "processes", "fork(), and what calls it: daemon()", Posix("fork(): handlers run"),
      Glibc("all run, once for each fork"), Atfork("all of its own too"),
      "api_handlers_run_once_around_every_fork foreign_fork_waits_for_a_short_section");
TEST(daemon_runs_handlers) {
  CountRuns();
  int alive[2];
  CHECK_EQ(pipe(alive), 0);
  CheckChild(Fork([&] { CHECK_EQ(daemon(1, 1), 0); }));
  close(alive[1]);
  char byte = 0;
  CHECK_EQ(read(alive[0], &byte, 1), 0);  // the daemon has ended too
  CHECK_EQ(runs->prepare, 2);
  CHECK_EQ(runs->child, 2);
}

CLAIM(
    underscore_fork_runs_no_handlers, "processes", "_Fork()",
    Posix("_Fork(): \"fork handlers established by means of the pthread_atfork() function shall not be called and "
          "_Fork() shall be async-signal-safe\""),
    Glibc("since 2.34: no handlers run, and a FILE that another thread had locked stays locked; the child's tid is "
          "known, so a recursive mutex held before cannot be unlocked: EPERM"),
    Atfork("told by `bypassed()`. Locks that were free or the forking thread's own can be used; a wait for one that "
           "another thread held fails at once, ESTALE, and fork() of this package is refused. In the child of a fork() "
           "that it makes such a lock is orphaned: EOWNERDEAD"),
    "bypassed_fork_by_libc_is_told_and_does_not_wait bypassed_fork_makes_none_of_ours "
    "child_of_a_bypassed_fork_is_whole_again");
TEST(underscore_fork_runs_no_handlers) {
  CountRuns();
  pthread_mutex_t* const mutex = NewMutex(PTHREAD_MUTEX_RECURSIVE);
  CHECK_EQ(pthread_mutex_lock(mutex), 0);
  std::FILE* const file = std::tmpfile();
  CHECK(file != nullptr);
  Elsewhere holder([=] { flockfile(file); }, [=] { funlockfile(file); });
  const uint32_t generation = ThisThread().generation;
  CheckChild(UnderscoreFork([=] {
    CHECK(ftrylockfile(file) != 0);
    CheckStillOfTheParentsGeneration(generation);
    CHECK_EQ(pthread_mutex_unlock(mutex), EPERM);
    auto& lock = atfork::GetProcessState()->global_lock;
    CHECK(lock.TryAcquire(ThisThread()) == AcquireStatus::kAcquired);
    CHECK(lock.Release(ThisThread()));
  }));
  CHECK_EQ(pthread_mutex_unlock(mutex), 0);
  CheckRuns(0);
}

CLAIM(
    raw_clone_runs_no_handlers, "processes", "clone(2) as a system call, without CLONE_VM", Posix("not in POSIX"),
    Glibc("knows nothing of it: no handlers run, and libc's tid is the parent's: a recursive mutex held before can be "
          "unlocked. getpid() is right, as no pid is cached since 2.25"),
    Atfork("as after _Fork(). Neither is told if a handler made the child"),
    "bypassed_fork_is_told_and_does_not_wait bypassed_fork_keeps_what_its_thread_held "
    "bypassed_fork_gives_its_locks_to_no_waiter_of_its_parent bypassed_fork_does_not_wait_for_a_semaphore "
    "bypassed_fork_does_not_wait_for_forks_of_its_parent "
    "bypassed_fork_inside_of_a_handler_is_not_known");
TEST(raw_clone_runs_no_handlers) {
  CountRuns();
  pthread_mutex_t* const mutex = NewMutex(PTHREAD_MUTEX_RECURSIVE);
  CHECK_EQ(pthread_mutex_lock(mutex), 0);
  const pid_t parent = getpid();
  const uint32_t generation = ThisThread().generation;
  CheckChild(RawClone([=] {
    CHECK(getpid() != parent);
    CHECK_EQ(getppid(), parent);
    CheckStillOfTheParentsGeneration(generation);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
    CHECK_EQ(pthread_mutex_trylock(mutex), 0);
  }));
  CHECK_EQ(pthread_mutex_unlock(mutex), 0);
  CheckRuns(0);
}

}  // namespace

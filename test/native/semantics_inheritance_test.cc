// semantics_inheritance_test.cc - what of that which the kernel keeps for a process its child has.
// Runs in:  native_tests, each test in a process of its own. man: fork(2), fcntl(2), flock(2), madvise(2).
#include <fcntl.h>
#include <sys/file.h>
#include <sys/time.h>

#include <cerrno>
#include <ctime>

#include "lock_helpers.h"
#include "semantics_helpers.h"

namespace {

using atfork::test::Atfork;
using atfork::test::CannotShow;
using atfork::test::CheckChild;
using atfork::test::Fork;
using atfork::test::Glibc;
using atfork::test::Posix;

CLAIM(signals_and_timers_of_a_child, "processes",
      "The parent has handlers, blocked and pending signals, an alarm, timers",
      Posix("fork(): \"The set of signals pending for the child process shall be initialized to the empty set\"; alarm "
            "and interval timers reset, per-process timers not inherited; actions and mask are"),
      Glibc("so"), Atfork("the same"));
TEST(signals_and_timers_of_a_child) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  CHECK(signal(SIGUSR2, [](int) {}) != SIG_ERR);
  CHECK_EQ(raise(SIGUSR1), 0);
  alarm(1000);
  const itimerval interval = {{1000, 0}, {1000, 0}};
  CHECK_EQ(setitimer(ITIMER_VIRTUAL, &interval, nullptr), 0);
  int timer = 0;  // by system calls: before 2.34 timer_create(2) is in another library
  sigevent none = {};
  none.sigev_notify = SIGEV_NONE;
  CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, &none, &timer), 0);
  const pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    CHECK_EQ(alarm(20), 0u);
    sigset_t now;
    CHECK_EQ(sigpending(&now), 0);
    CHECK_EQ(sigismember(&now, SIGUSR1), 0);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, nullptr, &now), 0);
    CHECK_EQ(sigismember(&now, SIGUSR1), 1);
    struct sigaction action;
    CHECK_EQ(sigaction(SIGUSR2, nullptr, &action), 0);
    CHECK(action.sa_handler != SIG_DFL);
    itimerval left;
    CHECK_EQ(getitimer(ITIMER_VIRTUAL, &left), 0);
    CHECK_EQ(left.it_value.tv_sec, 0);
    CHECK(syscall(SYS_timer_delete, timer) == -1 && errno == EINVAL);
    _exit(0);
  }
  CheckChild(pid);
  CHECK(alarm(0) > 0);
  CHECK_EQ(syscall(SYS_timer_delete, timer), 0);
}

CLAIM(
    file_locks_and_offsets_of_a_child, "processes", "The parent has file locks, and has read part of a file",
    Posix("fork(): the child's descriptors refer to the same open file descriptions, offsets included; locks that a "
          "process owns are not inherited"),
    Glibc("offset, flock(2) and F_OFD_SETLK are of the description: shared, and either side can unlock. F_SETLK is the "
          "parent's alone"),
    Atfork("the same"));
TEST(file_locks_and_offsets_of_a_child) {
  std::FILE* const file = std::tmpfile();
  CHECK(file != nullptr);
  const int fd = fileno(file);
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  struct flock first = {}, second = {};
  first.l_type = second.l_type = F_WRLCK;
  first.l_len = second.l_len = 1;
  second.l_start = 1;
  CHECK_EQ(fcntl(fd, F_SETLK, &first), 0);
  CHECK_EQ(fcntl(fd, F_OFD_SETLK, &second), 0);
  CHECK_EQ(flock(fd, LOCK_EX), 0);
  const pid_t parent = getpid();
  CheckChild(Fork([=] {
    struct flock asked = first;
    CHECK_EQ(fcntl(fd, F_GETLK, &asked), 0);
    CHECK_EQ(asked.l_type, F_WRLCK);
    CHECK_EQ(asked.l_pid, parent);
    CHECK_EQ(lseek(fd, 7, SEEK_SET), 7);
    struct flock unlock = second;
    unlock.l_type = F_UNLCK;
    CHECK_EQ(fcntl(fd, F_OFD_SETLK, &unlock), 0);
    CHECK_EQ(flock(fd, LOCK_UN), 0);
  }));
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
  CheckChild(Fork([=] {
    const int other = open(path.c_str(), O_RDWR | O_CLOEXEC);
    CHECK(other >= 0);
    CHECK(fcntl(other, F_SETLK, &first) == -1 && (errno == EAGAIN || errno == EACCES));  // the parent has it still
    struct flock again = second;
    CHECK_EQ(fcntl(other, F_OFD_SETLK, &again), 0);
    CHECK_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
  }));
  std::fclose(file);
}

CLAIM(memory_of_a_child, "processes", "Memory is mapped shared, private, or with marks of madvise(2)",
      Posix("fork(): mappings are retained; what is written to MAP_PRIVATE ones is for the writer alone"),
      Glibc("Linux: MADV_DONTFORK is not mapped in the child, MADV_WIPEONFORK reads as zeros there (4.14)"),
      Atfork("the same"));
TEST(memory_of_a_child) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto map = [=](int kind) {
    void* const memory = mmap(nullptr, page, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    auto* const word = static_cast<volatile int*>(memory);
    *word = 1;
    return word;
  };
  volatile int* const shared = map(MAP_SHARED);
  volatile int* const own = map(MAP_PRIVATE);
  volatile int* const parents = map(MAP_PRIVATE);
  volatile int* const wiped = map(MAP_PRIVATE);
  CHECK_EQ(madvise(const_cast<int*>(parents), page, MADV_DONTFORK), 0);
  if (madvise(const_cast<int*>(wiped), page, MADV_WIPEONFORK) != 0) CannotShow("no MADV_WIPEONFORK before Linux 4.14");
  CheckChild(Fork([=] {
    CHECK_EQ(*own, 1);
    CHECK_EQ(*wiped, 0);
    CHECK(msync(const_cast<int*>(parents), page, MS_ASYNC) == -1 && errno == ENOMEM);
    *shared = *own = *wiped = 2;
  }));
  CHECK_EQ(*shared, 2);
  CHECK_EQ(*own, 1);
  CHECK_EQ(*parents, 1);
  CHECK_EQ(*wiped, 1);
}

}  // namespace

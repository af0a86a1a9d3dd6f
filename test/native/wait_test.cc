// wait_test.cc - waiting for one known child: every way it can end, be interrupted or be taken by somebody else.
// Runs in:  native_tests, each test in a process of its own that forks the children it waits for.
#include "posix/wait.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "posix/thread_census.h"
#include "test.h"

namespace {

using atfork::WaitForChild;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::steady_clock;

constexpr auto kForever = std::nullopt;
constexpr auto kPoll = milliseconds(0);
// Longer than the bound on a test: who waits this long has missed the end of the child.
constexpr auto kTooLong = minutes(10);

template <typename Body>
pid_t Fork(Body body) {
  const pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    body();
    _exit(0);
  }
  return pid;
}

// A child that lives until the parent lets it go.
class HeldChild {
 public:
  HeldChild() {
    CHECK_EQ(pipe2(pipe_, O_CLOEXEC), 0);
    pid_ = Fork([this] {
      prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);  // for the test with a debugger, where Yama restricts ptrace(2)
      close(pipe_[1]);
      char byte;
      (void)!read(pipe_[0], &byte, 1);
      _exit(3);
    });
    close(pipe_[0]);
  }
  pid_t pid() const { return pid_; }
  // Another child of the test that was forked meanwhile has to release it too.
  void Release() { close(pipe_[1]); }

 private:
  int pipe_[2];
  pid_t pid_;
};

// Blocks until the main thread of process `pid` is in `state`, a letter of proc(5).
void AwaitState(pid_t pid, char state) {
  const std::string path = "/proc/" + std::to_string(pid) + "/task";
  const atfork::UniqueFd tasks(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK(bool(tasks));
  atfork::ThreadRecord record;
  do {
    CHECK(atfork::ReadThread(tasks.get(), pid, nullptr, &record));
  } while (record.state != state);
}

bool Exists(pid_t pid) { return kill(pid, 0) == 0; }

void CheckExited(const atfork::Result<std::optional<atfork::WaitStatus>>& outcome, int code) {
  CHECK(outcome.ok());
  CHECK(outcome.value().has_value());
  CHECK(!outcome.value()->signaled);
  CHECK_EQ(outcome.value()->code, code);
  CHECK(!outcome.value()->core_dumped);
}

void CheckRunning(const atfork::Result<std::optional<atfork::WaitStatus>>& outcome) {
  CHECK(outcome.ok());
  CHECK(!outcome.value().has_value());
}

void CheckErrno(const atfork::Result<std::optional<atfork::WaitStatus>>& outcome, int errnum) {
  CHECK(!outcome.ok());
  CHECK_EQ(outcome.error().errnum, errnum);
  CHECK_EQ(std::string(outcome.error().syscall), "waitid");
}

// pidfd_open(2) fails with ENOSYS from here on, as on Linux before 5.3.
void ForbidPidfd() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {sizeof program / sizeof program[0], program};
  CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
  CHECK_EQ(syscall(SYS_pidfd_open, getpid(), 0), -1L);
  CHECK_EQ(errno, ENOSYS);
}

void CheckTimedWaits() {
  HeldChild held;
  const auto start = steady_clock::now();
  CheckRunning(WaitForChild(held.pid(), milliseconds(60)));
  CHECK(steady_clock::now() - start >= milliseconds(60));
  CHECK(Exists(held.pid()));
  held.Release();
  CheckExited(WaitForChild(held.pid(), kTooLong), 3);

  // One that ends only while the wait for it sleeps.
  const pid_t pid = Fork([] {
    AwaitState(getppid(), 'S');
    _exit(4);
  });
  CheckExited(WaitForChild(pid, kTooLong), 4);
}

int CountFds() {
  int count = 0;
  for (int fd = 0; fd < 256; ++fd) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

std::atomic<int> interruptions{0};

// Runs a wait of this process while its child interrupts it three times, asleep each time.
void CheckInterrupted(std::optional<std::chrono::nanoseconds> timeout) {
  int handled[2];
  CHECK_EQ(pipe2(handled, O_CLOEXEC), 0);
  static int ack;
  ack = handled[1];
  struct sigaction action = {};  // without SA_RESTART
  action.sa_handler = [](int) {
    ++interruptions;
    (void)!write(ack, "", 1);
  };
  CHECK_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  interruptions = 0;
  const pid_t pid = Fork([&] {
    for (int i = 0; i < 3; ++i) {
      AwaitState(getppid(), 'S');
      kill(getppid(), SIGUSR1);
      char byte;
      CHECK_EQ(read(handled[0], &byte, 1), 1);
    }
    _exit(5);
  });
  CheckExited(WaitForChild(pid, timeout), 5);
  CHECK_EQ(interruptions.load(), 3);
}

}  // namespace

TEST(wait_decodes_the_exit_code) {
  for (const int code : {0, 7, 255}) CheckExited(WaitForChild(Fork([=] { _exit(code); }), kForever), code);
}

TEST(wait_decodes_the_signal) {
  const rlimit none = {0, 0};
  CHECK_EQ(setrlimit(RLIMIT_CORE, &none), 0);
  for (const int signal : {SIGKILL, SIGABRT, SIGRTMIN + 2}) {
    const pid_t pid = Fork([=] {
      prctl(PR_SET_DUMPABLE, 0);  // a core_pattern that is a pipe takes no notice of RLIMIT_CORE 0
      raise(signal);
    });
    const auto outcome = WaitForChild(pid, kForever);
    CHECK(outcome.ok());
    CHECK(outcome.value().has_value());
    CHECK(outcome.value()->signaled);
    CHECK_EQ(outcome.value()->code, signal);
    CHECK(!outcome.value()->core_dumped);
  }
}

TEST(wait_tells_a_core_dump_as_the_kernel_does) {
  char folder[] = "/tmp/atfork-core-XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  const pid_t pid = Fork([&] {
    const rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &all);
    (void)!chdir(folder);
    abort();
  });
  siginfo_t seen = {};
  CHECK_EQ(waitid(P_PID, static_cast<id_t>(pid), &seen, WEXITED | WNOWAIT), 0);
  const auto outcome = WaitForChild(pid, kPoll);
  CHECK(outcome.ok());
  CHECK_EQ(outcome.value()->code, SIGABRT);
  CHECK_EQ(outcome.value()->core_dumped, seen.si_code == CLD_DUMPED);
  CHECK_EQ(std::system(("rm -rf " + std::string(folder)).c_str()), 0);
}

TEST(wait_with_timeout_zero_only_looks) {
  HeldChild held;
  CheckRunning(WaitForChild(held.pid(), kPoll));
  CheckRunning(WaitForChild(held.pid(), milliseconds(-5)));
  held.Release();
  CheckExited(WaitForChild(held.pid(), kForever), 3);
  CheckErrno(WaitForChild(held.pid(), kPoll), ECHILD);
}

TEST(wait_with_a_timeout) { CheckTimedWaits(); }

TEST(wait_with_a_timeout_without_pidfd) {
  ForbidPidfd();
  CheckTimedWaits();
}

TEST(wait_with_a_timeout_leaks_no_fd) {
  const int before = CountFds();
  CheckTimedWaits();
  CheckErrno(WaitForChild(getpid(), kTooLong), ECHILD);
  CHECK_EQ(CountFds(), before);
}

TEST(wait_goes_on_after_a_signal) {
  CheckInterrupted(kForever);
  CheckInterrupted(kTooLong);
}

TEST(wait_goes_on_after_a_signal_without_pidfd) {
  ForbidPidfd();
  CheckInterrupted(kTooLong);
}

TEST(wait_says_ECHILD_when_somebody_else_reaped_it) {
  const pid_t pid = Fork([] { _exit(9); });
  int status = 0;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CheckErrno(WaitForChild(pid, kForever), ECHILD);
  CheckErrno(WaitForChild(pid, kPoll), ECHILD);
  CheckErrno(WaitForChild(pid, kTooLong), ECHILD);
}

TEST(wait_says_ECHILD_for_processes_that_are_no_children) {
  for (const pid_t pid : {getpid(), getppid()}) {
    CheckErrno(WaitForChild(pid, kForever), ECHILD);
    CheckErrno(WaitForChild(pid, kTooLong), ECHILD);
  }
}

TEST(wait_says_ECHILD_when_SIGCHLD_is_ignored) {
  signal(SIGCHLD, SIG_IGN);
  CheckErrno(WaitForChild(Fork([] { _exit(9); }), kForever), ECHILD);
  CheckErrno(WaitForChild(Fork([] { _exit(9); }), kTooLong), ECHILD);
}

TEST(wait_gives_one_child_to_one_of_two_threads) {
  HeldChild held;
  std::atomic<int> reaped{0};
  std::atomic<int> missed{0};
  const auto wait = [&] {
    const auto outcome = WaitForChild(held.pid(), kTooLong);
    if (outcome.ok()) {
      CheckExited(outcome, 3);
      ++reaped;
    } else {
      CheckErrno(outcome, ECHILD);
      ++missed;
    }
  };
  std::thread other(wait);
  held.Release();
  wait();
  other.join();
  CHECK_EQ(reaped.load(), 1);
  CHECK_EQ(missed.load(), 1);
}

TEST(wait_refuses_groups_and_any_child) {
  const pid_t pid = Fork([] { _exit(6); });
  siginfo_t seen;
  CHECK_EQ(waitid(P_PID, static_cast<id_t>(pid), &seen, WEXITED | WNOWAIT), 0);
  for (const pid_t group : {0, -1, -getpgrp()}) {
    CheckErrno(WaitForChild(group, kForever), EINVAL);
    CheckErrno(WaitForChild(group, kPoll), EINVAL);
  }
  CheckExited(WaitForChild(pid, kPoll), 6);
}

TEST(wait_takes_a_stopped_child_for_a_running_one) {
  HeldChild held;
  CHECK_EQ(kill(held.pid(), SIGSTOP), 0);
  siginfo_t seen = {};
  CHECK_EQ(waitid(P_PID, static_cast<id_t>(held.pid()), &seen, WSTOPPED | WNOWAIT), 0);
  CheckRunning(WaitForChild(held.pid(), kPoll));
  CheckRunning(WaitForChild(held.pid(), milliseconds(5)));
  // The news of the stop was not taken away either.
  seen = {};
  CHECK_EQ(waitid(P_PID, static_cast<id_t>(held.pid()), &seen, WSTOPPED | WNOHANG), 0);
  CHECK_EQ(seen.si_pid, held.pid());
  CHECK_EQ(kill(held.pid(), SIGKILL), 0);
  const auto outcome = WaitForChild(held.pid(), kForever);
  CHECK(outcome.ok());
  CHECK_EQ(outcome.value()->code, SIGKILL);
}

// A debugger is told of the end first; until it takes note, the parent's pidfd is ready and there is nothing to reap.
TEST(wait_sleeps_while_a_debugger_holds_the_zombie) {
  HeldChild held;
  int seized[2];
  int finish[2];
  CHECK_EQ(pipe2(seized, O_CLOEXEC), 0);
  CHECK_EQ(pipe2(finish, O_CLOEXEC), 0);
  const pid_t debugger = Fork([&] {
    held.Release();
    close(finish[1]);
    CHECK_EQ(ptrace(PTRACE_SEIZE, held.pid(), 0, 0), 0L);
    char byte = 0;
    CHECK_EQ(write(seized[1], &byte, 1), 1);
    (void)!read(finish[0], &byte, 1);
  });
  close(seized[1]);
  char byte;
  CHECK_EQ(read(seized[0], &byte, 1), 1);
  held.Release();
  AwaitState(held.pid(), 'Z');

  rusage before;
  rusage after;
  getrusage(RUSAGE_THREAD, &before);
  CheckRunning(WaitForChild(held.pid(), milliseconds(60)));
  getrusage(RUSAGE_THREAD, &after);
  CHECK(after.ru_nvcsw > before.ru_nvcsw);  // naps of 1, 2, 4, ... ms; on a busy machine the first may take all

  close(finish[1]);
  CheckExited(WaitForChild(debugger, kTooLong), 0);
  CheckExited(WaitForChild(held.pid(), kTooLong), 3);
}

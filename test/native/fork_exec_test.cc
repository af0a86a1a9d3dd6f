// fork_exec_test.cc - starting a program: in every way in which the system lets it be started, and what is left when it
// could not be started: nothing. Runs in:  native_tests.
#include "posix/fork_exec.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fork_exec_helpers.h"
#include "test.h"

namespace {

using atfork::Error;
using atfork::ExecMeans;
using atfork::ExecOptions;
using atfork::ExecPlan;
using atfork::ForkExec;
using atfork::ReadReport;
using atfork::Result;
using atfork::StartedChild;
using atfork::Stdio;
using atfork::child::ExecFailure;
using atfork::child::ExecStage;
using atfork::child::kExecFailureMagic;
using atfork::test::AllMeans;
using atfork::test::CheckFails;
using atfork::test::IsRoot;
using atfork::test::OpenFds;
using atfork::test::OutputOf;
using atfork::test::Shell;
using atfork::test::SignalsIn;
using atfork::test::Wait;

}  // namespace

TEST(program_gets_arguments_and_environment) {
  for (const ExecMeans& means : AllMeans()) {
    ExecOptions options = Shell("printf '%s|' \"$0\" \"$@\" \"$A\" \"${B-none}\"");
    options.args.insert(options.args.end(), {"zero", "", "a b"});
    options.env->push_back("A=1=2");
    CHECK_EQ(OutputOf(std::move(options), means), "zero||a b|1=2|none|");
  }
}

TEST(names_that_are_twice_in_the_environment_are_seen) {
  static char one[] = "A=1";
  static char other[] = "A=2";
  static char longer[] = "AB=1";
  static char none[] = "A";
  static char* unique[] = {one, longer, none, nullptr};
  static char* twice[] = {one, longer, other, nullptr};
  environ = unique;
  CHECK(!atfork::HasDuplicatesInEnvironment());
  environ = twice;
  CHECK(atfork::HasDuplicatesInEnvironment());
}

TEST(program_starts_with_the_mask_of_its_thread) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
  for (const ExecMeans& means : AllMeans()) {
    ExecOptions options = Shell("");
    options.file = "cat";
    options.args = {"cat", "/proc/self/status"};
    CHECK_EQ(SignalsIn(OutputOf(std::move(options), means)).substr(0, 24), "SigBlk:\t0000000000000800");
  }
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  CHECK_EQ(sigismember(&now, SIGUSR2), 1);
  CHECK_EQ(sigismember(&now, SIGUSR1), 0);
}

TEST(program_starts_with_no_signal_ignored_or_blocked) {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGRTMAX, SIG_IGN);
  signal(SIGUSR1, [](int) {});
  // No shell, which has handlers of its own.
  for (const ExecMeans& means : AllMeans()) {
    ExecOptions options = Shell("");
    options.file = "cat";
    options.args = {"cat", "/proc/self/status"};
    ExecOptions kept = options;
    CHECK_EQ(SignalsIn(OutputOf(std::move(options), means)),
             "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n");
    kept.restore_signals = false;
    kept.signal_mask = uint64_t{1} << (SIGUSR2 - 1);
    CHECK_EQ(SignalsIn(OutputOf(std::move(kept), means)),
             "SigBlk:\t0000000000000800\nSigIgn:\t8000000000001000\nSigCgt:\t0000000000000000\n");
  }
  struct sigaction now;
  sigaction(SIGPIPE, nullptr, &now);
  CHECK(now.sa_handler == SIG_IGN);
}

// A handler of the parent's would run in the parent's memory.
TEST(signal_that_comes_to_the_child_runs_no_handler_of_the_parent) {
  static std::atomic<int> strangers{0};
  static const pid_t self = getpid();
  struct sigaction action = {};
  action.sa_handler = [](int) { strangers += getpid() != self; };
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  setpgid(0, 0);
  std::atomic<bool> done{false};
  std::thread sender([&] {
    while (!done) {
      kill(0, SIGUSR1);
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 200; ++i) {
    ExecOptions options = Shell("true");
    options.pgid = getpgrp();
    Result<StartedChild> started = ForkExec(std::move(options));
    if (started) {
      int status;
      while (waitpid(started.value().pid, &status, 0) == -1 && errno == EINTR) {
      }
    }
  }
  done = true;
  sender.join();
  CHECK_EQ(strangers, 0);
}

TEST(programs_are_looked_for_as_execvp_does) {
  char folder[] = "/tmp/atfork-native-XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  const std::string here = folder;
  const auto make = [&](const std::string& name, const std::string& text, mode_t mode) {
    const int fd = open((here + name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text.c_str(), text.size()), static_cast<ssize_t>(text.size()));
    close(fd);
  };
  const auto options = [&](const std::string& file, const std::string& path) {
    ExecOptions made = Shell("");
    made.file = file;
    made.args = {"name", "one", "two"};
    made.env = {"PATH=" + path};
    made.cwd = here;
    return made;
  };
  mkdir((here + "/a").c_str(), 0755);
  mkdir((here + "/b").c_str(), 0755);
  make("/a/locked", "echo locked\n", 0600);
  make("/b/locked", "echo \"open $0 $1 $2\"\n", 0755);
  make("/b/script", "echo \"script $0 $1 $2\"\n", 0755);
  make("/plain", "echo \"plain $0 $1 $2\"\n", 0755);
  make("/a/only", "", 0600);
  make("/b/turns", "echo found\n", 0755);
  CHECK_EQ(symlink("turns", (here + "/a/turns").c_str()), 0);
  const std::string both = here + "/none:" + here + "/plain:" + here + "/a:" + here + "/b";
  for (const ExecMeans& means : AllMeans()) {
    CHECK_EQ(OutputOf(options("script", both), means), "script " + here + "/b/script one two\n");
    CHECK_EQ(OutputOf(options("./plain", both), means), "plain ./plain one two\n");
    CHECK_EQ(OutputOf(options("plain", ""), means), "plain ./plain one two\n");
    CHECK_EQ(OutputOf(options("script", "b"), means), "script b/script one two\n");
    CheckFails(options("nowhere", both), ENOENT, "exec", "nowhere", means);
    CheckFails(options("", both), ENOENT, "exec", "", means);
    CheckFails(options("only", both), EACCES, "exec", "only", means);
    CheckFails(options(here + "/a", both), EACCES, "exec", here + "/a", means);
    // Found all the same, further on.
    CHECK_EQ(OutputOf(options("locked", both), means), "open " + here + "/b/locked one two\n");
    // It is there, and is not to be passed over.
    CheckFails(options("turns", both), ELOOP, "exec", "turns", means);
  }
  ExecOptions unset = Shell("");
  unset.file = "sh";
  unset.args = {"sh", "-c", "echo found"};
  unset.env = {};
  CHECK_EQ(OutputOf(std::move(unset)), "found\n");
  CHECK_EQ(system(("rm -r " + here).c_str()), 0);
}

TEST(failure_says_where_and_leaves_nothing) {
  const std::vector<std::pair<std::string, void (*)(ExecOptions*)>> failures = {
      {"cwd /nowhere 2", [](ExecOptions* options) { options->cwd = "/nowhere"; }},
      {"fd fd 77 9",
       [](ExecOptions* options) {
         options->stdio.push_back({Stdio::kInherit, 77});
       }},
      {"fd fd 78 9", [](ExecOptions* options) { options->passed_fds = {78}; }},
      {"pgid  1", [](ExecOptions* options) { options->pgid = 0x3ffffff; }},
      {"terminal  25", [](ExecOptions* options) { options->terminal = 0; }},
      {"foreground  25", [](ExecOptions* options) { options->foreground = 0; }},
      {"rlimit resource 7 22",
       [](ExecOptions* options) {
         options->limits = {{RLIMIT_NOFILE, 10, 5}};
       }},
      {"affinity  22", [](ExecOptions* options) { options->affinity = std::vector<uint8_t>(8); }},
      {"chroot /nowhere 2", [](ExecOptions* options) { options->chroot = "/nowhere"; }},
      {"exec /dev/null 13", [](ExecOptions* options) { options->file = "/dev/null"; }},
      {"exec /bin/sh 7", [](ExecOptions* options) { options->args.push_back(std::string(1 << 18, 'x')); }},
      {"parentDeathSignal  22", [](ExecOptions* options) { options->parent_death_signal = 99; }},
  };
  for (const ExecMeans& means : AllMeans()) {
    for (const auto& [expected, spoil] : failures) {
      if (!IsRoot() && expected.compare(0, 6, "chroot") == 0) continue;
      ExecOptions options = Shell("true");
      spoil(&options);
      const std::set<int> before = OpenFds();
      Result<StartedChild> started = ForkExec(std::move(options), means);
      CHECK(!started);
      const Error& error = started.error();
      CHECK_EQ(std::string(error.stage) + " " + error.detail + " " + std::to_string(error.errnum), expected);
      CHECK(OpenFds() == before);
      CHECK_EQ(waitpid(-1, nullptr, 0), -1);
    }
  }
}

TEST(pidfd_is_the_childs) {
  for (const bool vfork : {true, false}) {
    for (const bool wanted : {true, false}) {
      ExecMeans means;
      means.vfork = vfork;
      means.pidfd = wanted;
      Result<StartedChild> started = ForkExec(Shell("exit 3"), means);
      CHECK(started);
      StartedChild& child = started.value();
      CHECK_EQ(static_cast<bool>(child.pidfd), wanted);
      if (wanted) {
        CHECK_EQ(fcntl(child.pidfd.get(), F_GETFD), FD_CLOEXEC);
        pollfd ended = {child.pidfd.get(), POLLIN, 0};
        CHECK_EQ(poll(&ended, 1, -1), 1);
      }
      CHECK_EQ(WEXITSTATUS(Wait(child)), 3);
    }
  }
}

// A filter as of a container that knows no vfork(2): clone(2) with CLONE_VFORK is refused.
TEST(where_vfork_is_refused_the_child_is_a_copy) {
#if defined(__x86_64__)
  constexpr uint32_t kVfork = CLONE_VFORK;
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kVfork, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof filter / sizeof *filter, filter};
  CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
  CHECK_EQ(OutputOf(Shell("echo started")), "started\n");
  ExecOptions options = Shell("true");
  options.file = "/nowhere";
  CheckFails(std::move(options), ENOENT, "exec", "/nowhere");
#endif
}

// Of a process that another thread forks in between, and that lives on, for one.
TEST(pipe_that_somebody_else_holds_open_holds_nobody_up) {
  std::atomic<bool> done{false};
  std::atomic<int> forked{0};
  std::vector<pid_t> others;
  std::thread forker([&] {
    while (!done && others.size() < 400) {
      const pid_t pid = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
      if (pid == 0) {
        for (;;) pause();
      }
      others.push_back(pid);
      ++forked;
    }
  });
  while (forked < 10) std::this_thread::yield();
  for (int i = 0; i < 60; ++i) {
    ExecMeans means;
    means.vfork = i % 2 == 0;
    ExecOptions options = Shell("true");
    options.stdio[1] = {Stdio::kNull, -1};
    if (i % 3 == 0) options.file = "/nowhere";
    Result<StartedChild> started = ForkExec(std::move(options), means);
    CHECK_EQ(started.ok(), i % 3 != 0);
    if (started) CHECK_EQ(Wait(started.value()), 0);
  }
  done = true;
  forker.join();
  for (const pid_t pid : others) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
}

TEST(report_that_says_nothing_is_an_error_of_its_own) {
  ExecPlan plan(Shell("true"));
  const ExecFailure failure = {kExecFailureMagic, static_cast<int32_t>(ExecStage::kSetsid), EPERM, -1};
  CHECK(ReadReport(plan, &failure, 0));
  CHECK(ReadReport(plan, &failure, -1));
  CHECK_EQ(std::string(ReadReport(plan, &failure, sizeof failure).error().stage), "setsid");
  const auto is_strange = [&](const ExecFailure& said, size_t length) {
    char report[2 * sizeof(ExecFailure)] = {};
    memcpy(report, &said, sizeof said);
    const atfork::Status status = ReadReport(plan, report, static_cast<ssize_t>(length));
    return !status && status.error().errnum == EPROTO && std::string(status.error().stage) == "report";
  };
  CHECK(is_strange(failure, sizeof failure - 1));
  CHECK(is_strange(failure, sizeof failure + 1));
  CHECK(is_strange(failure, 1));
  for (const ExecFailure& said :
       {ExecFailure{0, 3, EPERM, -1}, ExecFailure{kExecFailureMagic, 0, EPERM, -1},
        ExecFailure{kExecFailureMagic, atfork::child::kExecStages, EPERM, -1},
        ExecFailure{kExecFailureMagic, -1, EPERM, -1}, ExecFailure{kExecFailureMagic, 3, 0, -1},
        ExecFailure{kExecFailureMagic, 3, -1, -1}}) {
    CHECK(is_strange(said, sizeof said));
  }
}

TEST(programs_are_started_from_several_threads_at_once) {
  std::vector<std::thread> threads;
  for (int number = 0; number < 4; ++number) {
    threads.emplace_back([number] {
      for (int i = 0; i < 100; ++i) {
        ExecMeans means;
        means.vfork = i % 4 != 3;
        const std::string word = std::to_string(number) + " " + std::to_string(i);
        CHECK_EQ(OutputOf(Shell("echo " + word), means), word + "\n");
        ExecOptions options = Shell("true");
        options.cwd = "/nowhere";
        CHECK(!ForkExec(std::move(options), means));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// fork_exec_test.cc - starting a program: what it is given, in every way in which the system lets it be started, and
// what is left when it could not be started: nothing. Runs in:  native_tests. As root some tests change ids; else they
// are left out.
#include "posix/fork_exec.h"

#include <fcntl.h>
#include <grp.h>
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
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "posix/dumpable.h"
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

const std::vector<ExecMeans>& AllMeans() {
  static const std::vector<ExecMeans> means = [] {
    std::vector<ExecMeans> all;
    for (const bool vfork : {true, false}) {
      all.push_back({vfork, true, true, true});
      all.push_back({vfork, false, true, true});
      all.push_back({vfork, true, false, true});
      all.push_back({vfork, true, false, false});
    }
    return all;
  }();
  return means;
}

ExecOptions Shell(const std::string& script) {
  ExecOptions options;
  options.file = "/bin/sh";
  options.args = {"sh", "-c", script};
  options.env = {"PATH=/usr/bin:/bin"};
  options.stdio = {{Stdio::kNull, -1}, {Stdio::kOutput, -1}, {Stdio::kInherit, 2}};
  return options;
}

std::string ReadAll(int fd) {
  std::string text;
  char buffer[512];
  for (ssize_t length; (length = read(fd, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(length));
  return text;
}

int Wait(const StartedChild& child) {
  int status = -1;
  CHECK_EQ(waitpid(child.pid, &status, 0), child.pid);
  return status;
}

// What the program writes to its standard output. It ends with 0.
std::string OutputOf(ExecOptions options, const ExecMeans& means = {}) {
  Result<StartedChild> started = ForkExec(std::move(options), means);
  if (!started) {
    const Error& error = started.error();
    atfork::test::Fail(__FILE__, __LINE__,
                       std::string(error.stage) + " " + strerror(error.errnum) + " " + error.detail);
  }
  const StartedChild& child = started.value();
  const std::string text = ReadAll(child.stdio[1].get());
  CHECK_EQ(Wait(child), 0);
  return text;
}

// Of proc(5)'s status: which are blocked, ignored and caught.
std::string SignalsIn(const std::string& status) {
  std::string found;
  std::istringstream stream(status);
  for (std::string line; std::getline(stream, line);) {
    const std::string name = line.substr(0, 7);
    if (name == "SigBlk:" || name == "SigIgn:" || name == "SigCgt:") found += line + "\n";
  }
  return found;
}

std::set<std::string> LinesOf(const std::string& text) {
  std::set<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.insert(line);
  return lines;
}

std::set<int> OpenFds() {
  std::set<int> fds;
  for (int fd = 0; fd < 1024; ++fd) {
    if (fcntl(fd, F_GETFD) != -1) fds.insert(fd);
  }
  return fds;
}

void CheckFails(ExecOptions options, int errnum, const std::string& stage, const std::string& detail,
                const ExecMeans& means = {}) {
  const std::set<int> before = OpenFds();
  Result<StartedChild> started = ForkExec(std::move(options), means);
  CHECK(!started);
  CHECK_EQ(started.error().errnum, errnum);
  CHECK_EQ(std::string(started.error().stage), stage);
  CHECK_EQ(started.error().detail, detail);
  CHECK(OpenFds() == before);
  CHECK_EQ(waitpid(-1, nullptr, 0), -1);
  CHECK_EQ(errno, ECHILD);
}

bool IsRoot() { return geteuid() == 0; }

}  // namespace

TEST(program_gets_arguments_and_environment) {
  for (const ExecMeans& means : AllMeans()) {
    ExecOptions options = Shell("printf '%s|' \"$0\" \"$@\" \"$A\" \"${B-none}\"");
    options.args.insert(options.args.end(), {"zero", "", "a b"});
    options.env.push_back("A=1=2");
    CHECK_EQ(OutputOf(std::move(options), means), "zero||a b|1=2|none|");
  }
}

// Each of 0, 1 and 2 is a copy of any of the parent's, which hold three files; one of those is marked to close on exec.
TEST(stdio_is_mapped_in_all_27_ways) {
  char folder[] = "/tmp/atfork-native-XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  for (int fd = 0; fd < 3; ++fd) {
    const std::string name = std::string(folder) + "/" + std::to_string(fd);
    const int file = open(name.c_str(), O_RDWR | O_CREAT, 0600);
    CHECK_EQ(dup3(file, 100 + fd, O_CLOEXEC), 100 + fd);
    close(file);
  }
  const int kept_error = fcntl(2, F_DUPFD_CLOEXEC, 200);
  for (const ExecMeans& means : AllMeans()) {
    for (int map = 0; map < 27; ++map) {
      for (int fd = 0; fd < 3; ++fd) dup3(100 + fd, fd, fd == map % 3 ? O_CLOEXEC : 0);
      const int sources[3] = {map % 3, map / 3 % 3, map / 9};
      ExecOptions options = Shell("");
      options.file = "readlink";
      options.args = {"readlink", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"};
      for (size_t fd = 0; fd < 3; ++fd) options.stdio[fd] = {Stdio::kInherit, sources[fd]};
      Result<StartedChild> started = ForkExec(std::move(options), means);
      const int status = started ? Wait(started.value()) : -1;
      dup2(kept_error, 2);
      const int file = 100 + sources[1];
      lseek(file, 0, SEEK_SET);
      const std::string output = ReadAll(file);
      CHECK_EQ(ftruncate(file, 0), 0);
      lseek(file, 0, SEEK_SET);
      std::string expected;
      for (const int source : sources) expected += std::string(folder) + "/" + std::to_string(source) + "\n";
      CHECK_EQ(output, expected);
      CHECK_EQ(status, 0);
    }
  }
  for (int fd = 0; fd < 3; ++fd) unlink((std::string(folder) + "/" + std::to_string(fd)).c_str());
  rmdir(folder);
}

// Whatever numbers the pipe of the child and the pipes of its stdio happen to have.
TEST(pipes_may_have_the_numbers_of_stdio) {
  const int kept_error = fcntl(2, F_DUPFD_CLOEXEC, 200);
  for (const ExecMeans& means : AllMeans()) {
    for (int closed = 0; closed < 8; ++closed) {
      for (int fd = 0; fd < 3; ++fd) {
        if ((closed >> fd & 1) != 0) close(fd);
      }
      ExecOptions options = Shell("read word; echo \"$word\"; echo error >&2");
      options.stdio = {{Stdio::kInput, -1}, {Stdio::kOutput, -1}, {Stdio::kOutput, -1}};
      Result<StartedChild> started = ForkExec(std::move(options), means);
      std::string output, error;
      int status = -1;
      if (started) {
        StartedChild& child = started.value();
        if (write(child.stdio[0].get(), "word\n", 5) != 5) _exit(2);
        output = ReadAll(child.stdio[1].get());
        error = ReadAll(child.stdio[2].get());
        status = Wait(child);
        child.stdio.clear();
        child.pidfd.reset();
      }
      dup2(kept_error, 2);
      for (int fd = 0; fd < 2; ++fd) dup2(kept_error, fd);
      CHECK_EQ(output, "word\n");
      CHECK_EQ(error, "error\n");
      CHECK_EQ(status, 0);
    }
  }
}

TEST(nothing_but_what_was_asked_for_stays_open) {
  for (const int fd : {10, 20, 21, 900}) dup2(2, fd);
  CHECK_EQ(dup3(2, 22, O_CLOEXEC), 22);
  for (const ExecMeans& means : AllMeans()) {
    for (const std::vector<int>& passed : {std::vector<int>{}, {10}, {21}, {20, 22}, {4, 900}}) {
      if (!passed.empty() && passed[0] == 4) dup2(2, 4);
      ExecOptions options = Shell("ls /proc/$$/fd; true");
      options.passed_fds = passed;
      std::set<std::string> expected = {"0", "1", "2"};
      for (const int fd : passed) expected.insert(std::to_string(fd));
      CHECK(LinesOf(OutputOf(std::move(options), means)) == expected);
    }
    ExecOptions options = Shell("for fd in 10 20 22; do [ -e /proc/$$/fd/$fd ] && echo $fd; done; true");
    options.close_fds = false;
    CHECK_EQ(OutputOf(std::move(options), means), "10\n20\n");
  }
}

TEST(closing_a_million_numbers_one_by_one_is_refused) {
  rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  ExecMeans means;
  means.close_range = means.proc = false;
  means.most_to_close = limit.rlim_max;
  if (limit.rlim_max <= 1 << 20) CHECK_EQ(OutputOf(Shell("echo started"), means), "started\n");
  means.most_to_close = limit.rlim_max - 1;
  Result<StartedChild> started = ForkExec(Shell("true"), means);
  CHECK(!started);
  CHECK_EQ(std::string(started.error().code), "ERR_ATFORK_UNSUPPORTED");
}

TEST(many_descriptors_are_closed_and_some_of_them_kept) {
  for (int i = 0; i < 300; ++i) dup(2);
  for (const ExecMeans& means : AllMeans()) {
    ExecOptions options = Shell("ls /proc/$$/fd; true");
    options.passed_fds = {50, 60, 250};
    const std::set<std::string> expected = {"0", "1", "2", "50", "60", "250"};
    CHECK(LinesOf(OutputOf(std::move(options), means)) == expected);
  }
}

TEST(program_without_stdio_has_what_is_passed) {
  for (const ExecMeans& means : AllMeans()) {
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    const int kept_output = fcntl(1, F_DUPFD_CLOEXEC, 100);
    CHECK_EQ(dup2(ends[1], 1), 1);
    ExecOptions options = Shell("echo started");
    options.stdio = {};
    options.passed_fds = {0, 1, 2};
    Result<StartedChild> started = ForkExec(std::move(options), means);
    dup2(kept_output, 1);
    close(ends[1]);
    close(kept_output);
    CHECK(started);
    CHECK_EQ(ReadAll(ends[0]), "started\n");
    CHECK_EQ(Wait(started.value()), 0);
    close(ends[0]);
    options = Shell("true");
    options.stdio = {};
    options.passed_fds = {0, 1, 2};
    options.file = "/nowhere";
    CheckFails(std::move(options), ENOENT, "exec", "/nowhere", means);
    for (const std::vector<int>& wrong : {std::vector<int>{2}, {200, 100}, {100, 100}}) {
      for (const int fd : wrong) {
        if (fd > 2) dup2(2, fd);
      }
      options = Shell("true");
      options.passed_fds = wrong;
      CheckFails(std::move(options), EINVAL, "fd", "", means);
    }
  }
}

TEST(stdio_is_of_the_kind_that_was_asked_for) {
  const int inherited = dup2(2, 5);
  CHECK_EQ(inherited, 5);
  for (const ExecMeans& means : AllMeans()) {
    ExecOptions options = Shell(
        "f=/proc/$$/fd; [ -p $f/0 ] && [ -p $f/1 ] && [ -S $f/3 ] && [ $f/4 -ef /dev/null ] && [ $f/5 -ef $f/2 ] && "
        "echo yes; "
        "[ -e $f/6 ] || echo closed; echo word >&4");
    options.stdio[0] = {Stdio::kInput, -1};
    options.stdio.push_back({Stdio::kSocket, -1});
    options.stdio.push_back({Stdio::kNull, -1});
    options.stdio.push_back({Stdio::kUntouched, -1});
    options.stdio.push_back({Stdio::kUntouched, -1});
    CHECK_EQ(OutputOf(std::move(options), means), "yes\nclosed\n");
  }
}

TEST(stdio_of_the_program_blocks) {
  int ends[2];
  CHECK_EQ(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  ExecOptions options = Shell("read word; echo \"$word\"");
  options.stdio[0] = {Stdio::kInherit, ends[0]};
  Result<StartedChild> started = ForkExec(std::move(options));
  CHECK(started);
  CHECK_EQ(write(ends[1], "late\n", 5), 5);
  CHECK_EQ(ReadAll(started.value().stdio[1].get()), "late\n");
  CHECK_EQ(Wait(started.value()), 0);
  CHECK_EQ(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
}

TEST(stdio_of_a_program_that_did_not_start_is_as_it_was) {
  int ends[2];
  CHECK_EQ(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  for (const ExecMeans& means : AllMeans()) {
    ExecOptions options = Shell("true");
    options.stdio[1] = {Stdio::kInherit, ends[1]};
    options.file = "/nowhere";
    CheckFails(std::move(options), ENOENT, "exec", "/nowhere", means);
    CHECK(fcntl(ends[1], F_GETFL) & O_NONBLOCK);
  }
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

TEST(sessions_groups_and_attributes) {
  for (const ExecMeans& means : AllMeans()) {
    ExecOptions options = Shell("read -r _ _ _ _ group session _ </proc/self/stat; [ $group = $$ -a $session = $$ ]");
    options.setsid = true;
    CHECK_EQ(OutputOf(std::move(options), means), "");
    options = Shell("read -r _ _ _ _ group session _ </proc/self/stat; [ $group = $$ -a $session != $$ ]");
    options.pgid = 0;
    CHECK_EQ(OutputOf(std::move(options), means), "");
    options = Shell("umask; ulimit -Sn; ulimit -Hn; pwd");
    options.umask = 027;
    options.limits = {{RLIMIT_NOFILE, 40, 50}};
    options.cwd = "/usr";
    CHECK_EQ(OutputOf(std::move(options), means), "0027\n40\n50\n/usr\n");
    options = Shell("cut -d' ' -f19 /proc/$$/stat; grep NoNewPrivs /proc/$$/status");
    options.nice = 7;
    options.no_new_privs = true;
    CHECK_EQ(OutputOf(std::move(options), means), "7\nNoNewPrivs:\t1\n");
    cpu_set_t cpus;
    CHECK_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    int first = 0;
    while (!CPU_ISSET(first, &cpus)) ++first;
    options = Shell("grep Cpus_allowed_list /proc/$$/status");
    options.affinity = std::vector<uint8_t>(128);
    options.affinity[static_cast<size_t>(first / 8)] = static_cast<uint8_t>(1 << first % 8);
    CHECK_EQ(OutputOf(std::move(options), means), "Cpus_allowed_list:\t" + std::to_string(first) + "\n");
  }
}

TEST(ids_are_changed_for_good_and_the_parent_is_as_it_was) {
  if (!IsRoot()) return;
  const gid_t some[] = {10, 20};
  CHECK_EQ(setgroups(2, some), 0);
  const std::string script = "grep -E '^(Uid|Gid|Groups):' /proc/$$/status | tr -s '\\t ' ' '";
  for (const ExecMeans& means : AllMeans()) {
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
    ExecOptions options = Shell(script);
    options.uid = 1234;
    options.gid = 2345;
    CHECK_EQ(OutputOf(std::move(options), means), "Uid: 1234 1234 1234 1234\nGid: 2345 2345 2345 2345\nGroups: \n");
    CHECK_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
    options = Shell(script);
    options.gid = 2345;
    options.groups = {{7, 8}};
    CHECK_EQ(OutputOf(std::move(options), means), "Uid: 0 0 0 0\nGid: 2345 2345 2345 2345\nGroups: 7 8 \n");
    options = Shell(script);
    options.groups = {std::vector<gid_t>{}};
    CHECK_EQ(OutputOf(std::move(options), means), "Uid: 0 0 0 0\nGid: 0 0 0 0\nGroups: \n");
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), 0);
    options = Shell(script);
    options.uid = 1234;
    CHECK_EQ(OutputOf(std::move(options), means).substr(0, 24), "Uid: 1234 1234 1234 1234");
    CHECK_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
    gid_t groups[8];
    CHECK_EQ(getgroups(8, groups), 2);
    CHECK_EQ(geteuid(), 0u);
  }
}

TEST(who_may_not_change_groups_keeps_its_own_ids_only) {
  if (!IsRoot()) return;
  const gid_t some[] = {10, 20};
  CHECK_EQ(setgroups(2, some), 0);
  CHECK_EQ(setresgid(2345, 2345, 2345), 0);
  CHECK_EQ(setresuid(1234, 1234, 1234), 0);
  ExecOptions options = Shell("true");
  options.uid = 1234;
  options.gid = 2345;
  CHECK_EQ(OutputOf(std::move(options)), "");
  options = Shell("true");
  options.gid = 10;
  CheckFails(std::move(options), EPERM, "ids", "");
  options = Shell("true");
  options.uid = 1234;
  options.groups = {std::vector<gid_t>{}};
  CheckFails(std::move(options), EPERM, "ids", "");
  options = Shell("true");
  options.uid = 0;
  CheckFails(std::move(options), EPERM, "ids", "");
}

// Or one could leave it again, by the folder that was the current one.
TEST(new_root_is_the_current_folder_too) {
  if (!IsRoot()) return;
  char folder[] = "/tmp/atfork-native-XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  CHECK_EQ(chdir("/bin"), 0);
  for (const ExecMeans& means : AllMeans()) {
    ExecOptions options = Shell("true");
    options.file = "./sh";
    CHECK_EQ(OutputOf(std::move(options), means), "");
    options = Shell("true");
    options.file = "./sh";
    options.chroot = folder;
    CheckFails(std::move(options), ENOENT, "exec", "./sh", means);
    options = Shell("true");
    options.chroot = folder;
    options.cwd = "/bin";
    CheckFails(std::move(options), ENOENT, "cwd", "/bin", means);
    options = Shell("pwd");
    options.chroot = "/usr";
    options.cwd = "/../bin";
    options.file = "./pwd";
    options.args = {"pwd"};
    // It is there, and what it is linked with is not, at its path.
    Result<StartedChild> started = ForkExec(std::move(options), means);
    CHECK(started || (started.error().errnum == ENOENT && std::string(started.error().stage) == "exec"));
    if (started) Wait(started.value());
  }
  rmdir(folder);
}

TEST(terminal_becomes_the_programs_own) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return;
  CHECK_EQ(grantpt(master), 0);
  CHECK_EQ(unlockpt(master), 0);
  const int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  CHECK(slave >= 0);
  for (const ExecMeans& means : AllMeans()) {
    ExecOptions options = Shell(
        "read -r pid _ _ _ group session tty foreground _ </proc/$$/stat; "
        "[ $pid = $session ] && [ $tty != 0 ] && [ $foreground = $group ] && echo own");
    options.stdio[0] = {Stdio::kInherit, slave};
    options.setsid = true;
    options.terminal = 0;
    options.foreground = 0;
    CHECK_EQ(OutputOf(std::move(options), means), "own\n");
  }
}

TEST(limits_are_raised_before_ids_are_given_up) {
  if (!IsRoot()) return;
  const rlimit low = {10, 10};
  const rlimit high = {1024, 2048};
  if (setrlimit(RLIMIT_CORE, &low) != 0 || setrlimit(RLIMIT_CORE, &high) != 0) return;  // no CAP_SYS_RESOURCE
  CHECK_EQ(setrlimit(RLIMIT_CORE, &low), 0);
  for (const ExecMeans& means : AllMeans()) {
    ExecOptions options = Shell("ulimit -Hc");
    options.limits = {{RLIMIT_CORE, high.rlim_cur, high.rlim_max}};
    options.uid = 1234;
    CHECK_EQ(OutputOf(std::move(options), means), "4\n");
  }
}

// A filter that lets a change of ids look as if it had been made.
TEST(ids_are_looked_at_once_more) {
  if (!IsRoot()) return;
  const gid_t some[] = {10, 20};
  CHECK_EQ(setgroups(2, some), 0);
  CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  for (const long pretended : {SYS_setresuid, SYS_setresgid, SYS_setgroups}) {
    const pid_t pid = fork();
    if (pid == 0) {
      sock_filter filter[] = {
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(pretended), 0, 1),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      };
      const sock_fprog program = {sizeof filter / sizeof *filter, filter};
      CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
      ExecOptions options = Shell("true");
      options.uid = 1234;
      options.gid = 2345;
      CheckFails(std::move(options), EPERM, "ids", "");
      _exit(0);
    }
    int status = -1;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
  }
}

TEST(parent_is_as_it_was_after_starts_with_ids_from_several_threads) {
  if (!IsRoot()) return;
  CHECK_EQ(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
  std::vector<std::thread> threads;
  for (int number = 0; number < 4; ++number) {
    threads.emplace_back([] {
      for (int i = 0; i < 50; ++i) {
        ExecOptions options = Shell("true");
        options.uid = 1234;
        CHECK_EQ(OutputOf(std::move(options)), "");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
}

TEST(process_that_gives_up_its_own_ids_meanwhile_stays_closed) {
  if (!IsRoot() || !atfork::IsClosedByChangeOfIds()) return;
  CHECK_EQ(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
  {
    const atfork::DumpableKept first(true);
    {
      const atfork::DumpableKept second(true);
      CHECK_EQ(setresgid(2345, 2345, 2345), 0);
    }
    CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1);
  }
  CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1);
}

TEST(child_follows_its_parent_into_death) {
  for (const ExecMeans& means : AllMeans()) {
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      ExecOptions options;
      options.file = "/bin/sleep";
      options.args = {"sleep", "600"};
      options.stdio = {{Stdio::kNull, -1}, {Stdio::kInherit, ends[1]}, {Stdio::kInherit, 2}};
      options.parent_death_signal = SIGKILL;
      if (IsRoot()) options.uid = 1234;  // a change of ids undoes it
      _exit(ForkExec(std::move(options), means) ? 0 : 1);
    }
    close(ends[1]);
    int status = -1;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(ReadAll(ends[0]), "");  // until nobody has its other end any more
    close(ends[0]);
  }
}

TEST(first_process_of_a_pid_namespace_follows_its_parent_too) {
  if (unshare(CLONE_NEWPID) != 0) return;
  ExecOptions options = Shell("echo started");
  options.parent_death_signal = SIGKILL;
  CHECK_EQ(OutputOf(std::move(options)), "started\n");
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

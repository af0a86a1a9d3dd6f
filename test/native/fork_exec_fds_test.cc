// fork_exec_fds_test.cc - starting a program: its descriptors.
// Runs in:  native_tests.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fork_exec_helpers.h"
#include "test.h"

namespace {

using atfork::ExecMeans;
using atfork::ExecOptions;
using atfork::ForkExec;
using atfork::Result;
using atfork::StartedChild;
using atfork::Stdio;
using atfork::test::AllMeans;
using atfork::test::CheckFails;
using atfork::test::LinesOf;
using atfork::test::OutputOf;
using atfork::test::ReadAll;
using atfork::test::Shell;
using atfork::test::Wait;

}  // namespace

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

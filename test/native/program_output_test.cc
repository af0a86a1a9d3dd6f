// program_output_test.cc - what a program writes, while its thread waits for it.
// Runs in:  native_tests.
#include "posix/program_output.h"

#include <signal.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "fork_exec_helpers.h"
#include "posix/process_state.h"
#include "test.h"

namespace {

using atfork::ExecMeans;
using atfork::ExecOptions;
using atfork::ForkExec;
using atfork::GatherOutput;
using atfork::GetProcessState;
using atfork::ProgramLimits;
using atfork::ProgramOutput;
using atfork::Result;
using atfork::StartedChild;
using atfork::Stdio;
using atfork::ThisThread;
using atfork::test::AllMeans;
using atfork::test::OpenFds;
using atfork::test::Shell;

ProgramOutput Run(const std::string& script, const ExecMeans& means, const std::string& input = "",
                  const ProgramLimits& limits = {}) {
  ExecOptions options = Shell(script);
  options.stdio = {{Stdio::kInput, -1}, {Stdio::kOutput, -1}, {Stdio::kOutput, -1}};
  Result<StartedChild> started = ForkExec(std::move(options), means);
  CHECK(started.ok());
  Result<ProgramOutput> ended = GatherOutput(std::move(started.value()), input, limits);
  CHECK(ended.ok());
  CHECK(!ended.value().output[0]);
  return std::move(ended.value());
}

std::string OutputOf(const std::string& script, const ExecMeans& means, const std::string& input = "") {
  return *Run(script, means, input).output[1];
}

}  // namespace

TEST(program_is_fed_and_heard_to_its_end) {
  CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  const auto before = OpenFds();
  const std::string much(1 << 20, 'x');
  for (const ExecMeans& means : AllMeans()) {
    const ProgramOutput both = Run("tee /dev/stderr; exit 3", means, much);
    CHECK(*both.output[1] == much && *both.output[2] == much);
    CHECK(!both.end.status.signaled && !both.timed_out);
    CHECK_EQ(both.end.status.code, 3);
    CHECK_EQ(both.overflowed, -1);
    CHECK_EQ(OutputOf("exec <&-; echo no", means, much), "no\n");
    CHECK_EQ(OutputOf("(sleep 0.05; echo late) & echo early", means), "early\nlate\n");
  }
  CHECK(OpenFds() == before);
}

TEST(program_that_takes_too_long_or_writes_too_much_is_killed) {
  ProgramLimits limits;
  limits.kill_signal = SIGTERM;
  limits.grace_ms = 20;
  constexpr char kStubborn[] = "trap '' TERM; echo x; while :; do sleep 0.01; done";
  ProgramLimits small;
  small.kill_signal = SIGKILL;
  small.max_buffer = 3;
  for (const ExecMeans& means : AllMeans()) {
    limits.timeout_ms = 50;
    ProgramOutput stubborn = Run(kStubborn, means, "", limits);
    // On a busy machine it was killed before it had set its trap.
    for (; stubborn.output[1]->empty() && limits.timeout_ms < 20'000; limits.timeout_ms *= 4) {
      stubborn = Run(kStubborn, means, "", limits);
    }
    CHECK(stubborn.timed_out && stubborn.end.status.signaled);
    CHECK_EQ(stubborn.end.status.code, SIGKILL);
    CHECK_EQ(*stubborn.output[1], "x\n");
    const ProgramOutput loud = Run("exec yes >&2", means, "", small);
    CHECK_EQ(loud.overflowed, 2);
    CHECK_EQ(loud.output[2]->substr(0, 4), "y\ny\n");
    CHECK(loud.end.status.signaled && !loud.timed_out);
    CHECK_EQ(Run("printf abc", means, "", small).overflowed, -1);
  }
}

TEST(fork_is_held_off_while_a_program_is_waited_for) {
  const auto may_fork = [] { return GetProcessState()->fork_permit.Check(ThisThread()).ok(); };
  int began[2];
  CHECK_EQ(pipe(began), 0);
  CHECK(may_fork());
  std::thread waits([&] {
    ExecOptions options = Shell("read -r line; printf %s \"$line\"");
    options.stdio = {{Stdio::kInherit, began[0]}, {Stdio::kOutput, -1}, {Stdio::kNull, -1}};
    Result<StartedChild> started = ForkExec(std::move(options));
    CHECK(started.ok());
    const auto ended = GatherOutput(std::move(started.value()), "", {});
    CHECK(ended.ok());
    CHECK_EQ(*ended.value().output[1], "on");
  });
  while (may_fork()) std::this_thread::yield();
  CHECK_EQ(write(began[1], "on\n", 3), 3);
  waits.join();
  CHECK(may_fork());
}

TEST(end_that_the_kernel_has_reaped_is_nobodys_to_know) {
  CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
  for (const ExecMeans& means : AllMeans()) {
    Result<StartedChild> started = ForkExec(Shell("echo"), means);
    CHECK(started.ok());
    const auto ended = GatherOutput(std::move(started.value()), "", {});
    CHECK(!ended);
    CHECK_EQ(ended.error().errnum, ECHILD);
    CHECK_EQ(std::string(ended.error().stage), "wait");
  }
}

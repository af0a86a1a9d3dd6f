// fork_exec_refusals_test.cc - what the kernel refuses a program, and what is taken from it.
// Runs in:  native_tests. As root; else they are left out.
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "child/exec_child.h"
#include "fork_exec_helpers.h"
#include "posix/exec_plan.h"
#include "test.h"

namespace {

using atfork::ExecMeans;
using atfork::ExecOptions;
using atfork::ExecPlan;
using atfork::ForkExec;
using atfork::Result;
using atfork::StartedChild;
using atfork::Status;
using atfork::test::AllMeans;
using atfork::test::CheckFails;
using atfork::test::IsRoot;
using atfork::test::OutputOf;
using atfork::test::Shell;

constexpr uid_t kSomebody = 4711;
constexpr uid_t kNobody = 65534;

}  // namespace

TEST(process_that_may_have_no_more_children_gets_none) {
  if (!IsRoot()) return;
  const rlimit none = {0, 0};
  CHECK_EQ(setrlimit(RLIMIT_NPROC, &none), 0);
  CHECK_EQ(setresuid(kNobody, kNobody, kNobody), 0);  // root's are not counted
  for (const ExecMeans& means : AllMeans()) {
    CheckFails(Shell(":"), EAGAIN, "start", "", means);
  }
}

// The kernel leaves them to a program whose old and new users are none of them root: capabilities(7).
TEST(ambient_capabilities_are_not_the_new_users) {
  if (!IsRoot()) return;
  CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
  CHECK_EQ(setresuid(kSomebody, kSomebody, kSomebody), 0);
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  const uint32_t some = 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_NET_RAW;
  __user_cap_data_struct sets[2] = {{some, some, some}, {0, 0, 0}};
  CHECK_EQ(syscall(SYS_capset, &header, sets), 0);
  for (const int capability : {CAP_SETUID, CAP_SETGID, CAP_NET_RAW}) {
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), 0);
  }
  for (const ExecMeans& means : AllMeans()) {
    const std::string script = "grep CapAmb /proc/$$/status";
    CHECK(OutputOf(Shell(script), means) != "CapAmb:\t0000000000000000\n");
    ExecOptions options = Shell(script);
    options.uid = kNobody;
    options.gid = kNobody;
    CHECK_EQ(OutputOf(std::move(options), means), "CapAmb:\t0000000000000000\n");
  }
}

TEST(program_whose_parent_has_died_does_not_start) {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  ExecOptions options = Shell("exit 0");
  options.parent_death_signal = SIGKILL;
  ExecPlan plan(std::move(options));
  CHECK(plan.Open());
  plan.request()->error_fd = ends[1];
  plan.request()->parent = getppid();  // as if this process, whose child it is, had come to it since
  const pid_t pid = fork();
  if (pid == 0) atfork::child::ExecChild(plan.request());
  int status = 0;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  char said[2 * sizeof(atfork::child::ExecFailure)];
  const Status started = atfork::ReadReport(plan, said, read(ends[0], said, sizeof said));
  CHECK(!started);
  CHECK_EQ(started.error().errnum, ESRCH);
  CHECK_EQ(std::string(started.error().stage), "parentDeathSignal");
}

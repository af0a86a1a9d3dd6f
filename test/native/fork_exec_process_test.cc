// fork_exec_process_test.cc - starting a program: its session, limits, ids and the rest that a process has.
// Runs in:  native_tests. As root some tests change ids; else they are left out.
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fork_exec_helpers.h"
#include "posix/dumpable.h"
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
using atfork::test::IsRoot;
using atfork::test::OutputOf;
using atfork::test::ReadAll;
using atfork::test::Shell;
using atfork::test::Wait;

}  // namespace

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
  CheckFails(std::move(options), EPERM, "ids", "");  // groups would be left
  options = Shell("true");
  options.uid = 1234;
  options.gid = 2345;
  options.may_keep_groups = true;
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

TEST(who_has_no_groups_to_give_up_may_name_its_own_ids) {
  if (!IsRoot()) return;
  for (const size_t count : {0, 1}) {
    const pid_t pid = fork();
    if (pid == 0) {
      const gid_t own[] = {2345};
      CHECK_EQ(setgroups(count, own), 0);
      CHECK_EQ(setresgid(2345, 2345, 2345), 0);
      CHECK_EQ(setresuid(1234, 1234, 1234), 0);
      ExecOptions options = Shell("true");
      options.uid = 1234;
      CHECK_EQ(OutputOf(std::move(options)), "");
      options = Shell("true");
      options.groups = {std::vector<gid_t>{}};
      CHECK_EQ(OutputOf(std::move(options)), "");
      options = Shell("true");
      options.groups = {std::vector<gid_t>{7}};
      CheckFails(std::move(options), EPERM, "ids", "");
      _exit(0);
    }
    int status = -1;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
  }
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
    for (const char* const outside : {"/bin", "sh", "../bin"}) {
      options = Shell("true");
      options.chroot = folder;
      options.cwd = outside;
      CheckFails(std::move(options), ENOENT, "cwd", outside, means);
    }
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

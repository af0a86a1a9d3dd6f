// exec_child.h - from a new process to a new program: everything that lies between clone(2) and execve(2).
//
// CHILD ZONE. The child may share all memory with its parent, whose thread stands still meanwhile: only system calls,
// no allocation, no lock, and nothing of libc that keeps anything. What it has to know was put together before, and is
// in one ExecRequest (posix/exec_plan).
#ifndef ATFORK_CHILD_EXEC_CHILD_H_
#define ATFORK_CHILD_EXEC_CHILD_H_

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

namespace atfork::child {

// In the order in which the child comes by. What needs privileges stands before the ids are given up, and what a change
// of ids undoes after it.
enum class ExecStage : int32_t {
  kStart,  // no child yet
  kFd,
  kCloseFds,
  kSetsid,
  kPgid,
  kTerminal,
  kForeground,
  kUmask,
  kRlimit,
  kNice,
  kAffinity,
  kChroot,
  kCwd,
  kNoNewPrivs,
  kGroups,
  kGid,
  kUid,
  kParentDeathSignal,
  kExec,
};
constexpr int32_t kExecStages = static_cast<int32_t>(ExecStage::kExec) + 1;

// What a child that failed says before it ends, in one write(2) to the pipe.
struct ExecFailure {
  uint32_t magic;
  int32_t stage;
  int32_t errnum;
  int32_t index;  // of what the stage has several of: the descriptor, the limit's number, the candidate; else -1
};
constexpr uint32_t kExecFailureMagic = 0x6b667465;
constexpr ExecFailure kExecAnnouncement = {kExecFailureMagic, static_cast<int32_t>(ExecStage::kStart), 0, -1};

// What descriptor `target` of the program is: a copy of `source`; /dev/null; or whatever it is in the parent, if it has
// no O_CLOEXEC there.
struct FdAction {
  static constexpr int kNullDevice = -1;
  static constexpr int kUntouched = -2;
  int target;
  int source;
  // Not one of this library's own pipes: who had it may have set O_NONBLOCK, with which most programs cannot read.
  bool inherited;
};

struct Limit {
  int resource;
  uint64_t soft;
  uint64_t hard;
};

// How descriptors are closed that nobody has asked for.
enum class CloseFds { kNever, kCloseRange, kProc, kOneByOne };

struct ExecRequest {
  // Null-terminated: paths, tried in turn until there is a file; the first errno that is neither ENOENT nor ENOTDIR
  // counts.
  const char* const* candidates;
  char* const* argv;
  char* const* envp;
  // For a file that is no program: /bin/sh, room for its path, argv[1] and what follows.
  char** shell_argv;

  int error_fd;    // O_CLOEXEC
  bool announces;  // before it goes on: kExecAnnouncement; it then holds a lock of fcntl(2) on error_fd, until it
                   // executes
  // Targets 0 to fd_count - 1, in this order. The child writes to it.
  FdAction* fds;
  int fd_count;
  // Ascending, and none below fd_count: they stay what they are.
  const int* passed_fds;
  int passed_count;
  CloseFds close_fds;
  int most_fds;  // for kOneByOne: none is as high

  bool restore_signals;  // what is ignored, too, is as it is by default
  uint64_t signal_mask;

  bool setsid;
  bool set_pgid;
  pid_t pgid;
  int terminal;    // a target: becomes the controlling terminal; -1: none
  int foreground;  // a target, a terminal: the child's group becomes its foreground group; -1: none

  bool set_umask;
  mode_t umask;
  const Limit* limits;
  int limit_count;
  bool set_nice;
  int nice;
  const void* affinity;  // a mask, as of sched_setaffinity(2); null: none
  size_t affinity_size;

  const char* chroot;  // null: none
  const char* cwd;     // null: the parent's or, with chroot, the new root
  bool no_new_privs;

  bool set_groups;
  bool may_keep_groups;  // where they cannot be changed, if no id changes either
  const gid_t* groups;
  int group_count;
  bool set_gid;
  gid_t gid;
  bool set_uid;
  uid_t uid;

  int parent_death_signal;  // 0: none
  pid_t parent;
};

// Becomes the program or, having said why not, ends with 127. All signals are blocked.
[[noreturn]] void ExecChild(const ExecRequest* request);

}  // namespace atfork::child

#endif  // ATFORK_CHILD_EXEC_CHILD_H_

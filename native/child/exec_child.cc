// exec_child.cc - see exec_child.h.
// Runs in:  the child of ForkExec (posix/fork_exec), on a stack of its own or, as a copy, on the parent's. It may share
//           the parent's memory, TLS of the calling thread included.
// Calls:    system calls only, raw: libc's wrappers of setuid(2) and its kin signal all threads of what libc takes for
//           this process, the parent; those of open(2) and others are points of cancellation.
// Rests on: execve(2), credentials(7), close_range(2), setpgid(2), prctl(2). The order is that of CPython's child_exec.
#include "child/exec_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child/directory_entry.h"

#ifndef SYS_close_range
#define SYS_close_range 436  // one number on every architecture
#endif

namespace atfork::child {
namespace {

// The kernel's struct sigaction: libc's refuses two signals that it keeps to itself, and this library uses one of them.
struct KernelSigaction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};
static_assert(sizeof(KernelSigaction) == 32);  // of x86-64 and arm64, which have a restorer

constexpr int kLastSignal = 64;
constexpr int kNotFound = 127;

// Where the child is, for whoever reads of its failure.
struct Place {
  int error_fd;
  ExecStage stage;
  int index;
  // Of each of the first three descriptors: 1 << fd, if O_NONBLOCK was taken from an open file that others have, too.
  unsigned made_blocking;
};

long Fcntl(int fd, int command, long argument) { return syscall(SYS_fcntl, fd, command, argument); }

[[noreturn]] void Fail(const Place& place, int errnum = errno) {
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
    if ((place.made_blocking >> fd & 1) != 0) Fcntl(fd, F_SETFL, Fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
  }
  const ExecFailure failure = {kExecFailureMagic, static_cast<int32_t>(place.stage), errnum, place.index};
  while (syscall(SYS_write, place.error_fd, &failure, sizeof failure) == -1 && errno == EINTR) {
  }
  for (;;) syscall(SYS_exit_group, kNotFound);
}

long Check(long result, const Place& place) {
  if (result == -1) Fail(place);
  return result;
}

// A handler of the parent's must not run here. execve(2) would do the same, but only after the mask has been put back.
void ResetSignals(bool ignored_too) {
  const KernelSigaction by_default = {};
  for (int signal = 1; signal <= kLastSignal; ++signal) {
    KernelSigaction now = {};
    if (!ignored_too &&
        (syscall(SYS_rt_sigaction, signal, nullptr, &now, sizeof now.mask) != 0 || now.handler == SIG_IGN)) {
      continue;
    }
    syscall(SYS_rt_sigaction, signal, &by_default, nullptr, sizeof by_default.mask);  // not for SIGKILL and SIGSTOP
  }
}

// To a free number that is not below `least`.
int Duplicate(int fd, int least, const Place& place) {
  const long copy = Fcntl(fd, F_DUPFD_CLOEXEC, least);
  if (copy == -1) Fail(place, errno == EINVAL ? EMFILE : errno);  // EINVAL: the limit does not reach there
  return static_cast<int>(copy);
}

// Every source that a target could overwrite first is moved out of the way; so is the pipe.
void MoveOutOfTheWay(const ExecRequest& request, Place* place) {
  const int count = request.fd_count;
  if (place->error_fd < count) place->error_fd = Duplicate(place->error_fd, count, *place);
  for (int i = 0; i < count; ++i) {
    FdAction* const action = &request.fds[i];
    place->index = action->target;
    if (action->source == action->target || action->source < 0 || action->source >= count) continue;
    action->source = Duplicate(action->source, count, *place);
  }
}

void KeepOpen(int fd, const Place& place) {
  const long flags = Check(Fcntl(fd, F_GETFD, 0), place);
  if ((flags & FD_CLOEXEC) != 0) Check(Fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC), place);
}

void Put(const FdAction& action, Place* place) {
  int source = action.source;
  if (source == FdAction::kNullDevice) {
    syscall(SYS_close, action.target);  // mostly the lowest number that is free then
    source = static_cast<int>(
        Check(syscall(SYS_openat, AT_FDCWD, "/dev/null", action.target == 0 ? O_RDONLY : O_RDWR), *place));
  }
  if (source == action.target) {
    if (action.source != FdAction::kNullDevice) KeepOpen(source, *place);
  } else {
    Check(syscall(SYS_dup3, source, action.target, 0), *place);
    if (action.source == FdAction::kNullDevice) syscall(SYS_close, source);
  }
  if (!action.inherited || action.target > STDERR_FILENO) return;
  const long flags = Fcntl(action.target, F_GETFL, 0);
  if (flags == -1 || (flags & O_NONBLOCK) == 0) return;
  Fcntl(action.target, F_SETFL, flags & ~O_NONBLOCK);
  place->made_blocking |= 1u << action.target;
}

void ArrangeFds(const ExecRequest& request, Place* place) {
  place->stage = ExecStage::kFd;
  MoveOutOfTheWay(request, place);
  for (int i = 0; i < request.fd_count; ++i) {
    place->index = request.fds[i].target;
    if (request.fds[i].source != FdAction::kUntouched) Put(request.fds[i], place);
  }
  for (int i = 0; i < request.passed_count; ++i) {
    place->index = request.passed_fds[i];
    KeepOpen(request.passed_fds[i], *place);
  }
  place->index = -1;
}

bool IsPassed(const ExecRequest& request, int fd) {
  for (int i = 0; i < request.passed_count; ++i) {
    if (request.passed_fds[i] == fd) return true;
  }
  return false;
}

void CloseRange(unsigned first, unsigned last, const Place& place) {
  Check(syscall(SYS_close_range, first, last, 0u), place);
}

void CloseGaps(const ExecRequest& request, const Place& place) {
  auto next = static_cast<unsigned>(request.fd_count);
  const auto keep = [&](int fd) {
    const auto kept = static_cast<unsigned>(fd);
    if (next < kept) CloseRange(next, kept - 1, place);
    next = kept + 1;
  };
  bool pipe_is_left = true;
  for (int i = 0; i < request.passed_count; ++i) {
    if (pipe_is_left && place.error_fd < request.passed_fds[i]) {
      keep(place.error_fd);
      pipe_is_left = false;
    }
    keep(request.passed_fds[i]);
  }
  if (pipe_is_left) keep(place.error_fd);
  CloseRange(next, ~0u, place);
}

bool IsToBeClosed(const ExecRequest& request, const Place& place, int fd) {
  return fd >= request.fd_count && fd != place.error_fd && !IsPassed(request, fd);
}

void CloseListed(const ExecRequest& request, const Place& place) {
  const auto folder = static_cast<int>(
      Check(syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), place));
  alignas(DirectoryEntry) char entries[1024];
  long length;
  // Where reading goes on is the next number: what has been closed meanwhile does no harm.
  while ((length = Check(syscall(SYS_getdents64, folder, entries, sizeof entries), place)) > 0) {
    for (long at = 0; at < length;) {
      const auto* entry = reinterpret_cast<const DirectoryEntry*>(entries + at);
      at += entry->length;
      int fd = 0;
      const char* digit = entry->name;
      for (; *digit >= '0' && *digit <= '9'; ++digit) fd = 10 * fd + (*digit - '0');
      if (*digit == '\0' && fd != folder && IsToBeClosed(request, place, fd)) syscall(SYS_close, fd);
    }
  }
  syscall(SYS_close, folder);
}

void CloseOthers(const ExecRequest& request, Place* place) {
  place->stage = ExecStage::kCloseFds;
  switch (request.close_fds) {
    case CloseFds::kNever:
      return;
    case CloseFds::kCloseRange:
      return CloseGaps(request, *place);
    case CloseFds::kProc:
      return CloseListed(request, *place);
    case CloseFds::kOneByOne:
      for (int fd = request.fd_count; fd < request.most_fds; ++fd) {
        if (IsToBeClosed(request, *place, fd)) syscall(SYS_close, fd);
      }
  }
}

// When all that is to be closed is closed: whoever closes a descriptor of a file gives up all its locks on it.
void Announce(const ExecRequest& request, const Place& place) {
  if (!request.announces) return;
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  Check(syscall(SYS_fcntl, place.error_fd, F_SETLK, &lock), place);
  syscall(SYS_write, place.error_fd, &kExecAnnouncement, sizeof kExecAnnouncement);
}

void JoinSession(const ExecRequest& request, Place* place) {
  if (request.setsid) {
    place->stage = ExecStage::kSetsid;
    Check(syscall(SYS_setsid), *place);
  }
  if (request.set_pgid) {
    place->stage = ExecStage::kPgid;
    Check(syscall(SYS_setpgid, 0, request.pgid), *place);
  }
  if (request.terminal >= 0) {
    place->stage = ExecStage::kTerminal;
    Check(syscall(SYS_ioctl, request.terminal, TIOCSCTTY, 0), *place);
  }
  if (request.foreground >= 0) {
    place->stage = ExecStage::kForeground;
    const auto group = static_cast<pid_t>(syscall(SYS_getpgid, 0));
    Check(syscall(SYS_ioctl, request.foreground, TIOCSPGRP, &group), *place);  // SIGTTOU is blocked
  }
}

void SetAttributes(const ExecRequest& request, Place* place) {
  place->stage = ExecStage::kUmask;
  if (request.set_umask) syscall(SYS_umask, request.umask);
  place->stage = ExecStage::kRlimit;
  for (int i = 0; i < request.limit_count; ++i) {
    const Limit& limit = request.limits[i];
    place->index = limit.resource;
    const uint64_t pair[2] = {limit.soft, limit.hard};
    Check(syscall(SYS_prlimit64, 0, limit.resource, pair, nullptr), *place);
  }
  place->index = -1;
  place->stage = ExecStage::kNice;
  if (request.set_nice) Check(syscall(SYS_setpriority, PRIO_PROCESS, 0, request.nice), *place);
  place->stage = ExecStage::kAffinity;
  if (request.affinity != nullptr) {
    Check(syscall(SYS_sched_setaffinity, 0, request.affinity_size, request.affinity), *place);
  }
  if (request.chroot != nullptr) {
    place->stage = ExecStage::kChroot;
    Check(syscall(SYS_chroot, request.chroot), *place);
    Check(syscall(SYS_chdir, "/"), *place);  // what is relative now must not be outside of it: chroot(2)
  }
  place->stage = ExecStage::kCwd;
  if (request.cwd != nullptr) Check(syscall(SYS_chdir, request.cwd), *place);
  place->stage = ExecStage::kNoNewPrivs;
  if (request.no_new_privs) Check(syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), *place);
}

bool HasGid(gid_t gid) {
  gid_t real, effective, saved;
  syscall(SYS_getresgid, &real, &effective, &saved);
  return real == gid && effective == gid && saved == gid;
}

bool HasUid(uid_t uid) {
  uid_t real, effective, saved;
  syscall(SYS_getresuid, &real, &effective, &saved);
  return real == uid && effective == uid && saved == uid;
}

// As a list of that one group, or an empty one, has it.
bool HasNoGroupBut(gid_t gid) {
  gid_t groups[2];
  const long count = syscall(SYS_getgroups, 2, groups);
  return count == 0 || (count == 1 && groups[0] == gid);
}

// Groups first: who has given up the uid may not change them any more. Each is looked at once more, since a program
// that runs with more rights than it should must not run.
void ChangeIds(const ExecRequest& request, Place* place) {
  place->stage = ExecStage::kGroups;
  if (request.set_groups && syscall(SYS_setgroups, request.group_count, request.groups) != 0) {
    const int errnum = errno;
    const bool changes = (request.set_gid && !HasGid(request.gid)) || (request.set_uid && !HasUid(request.uid));
    const auto gid = request.set_gid ? request.gid : static_cast<gid_t>(syscall(SYS_getegid));
    const bool is_so = request.group_count == 0 && HasNoGroupBut(gid);
    if (errnum != EPERM || changes || !(is_so || request.may_keep_groups)) Fail(*place, errnum);
  } else if (request.set_groups && syscall(SYS_getgroups, 0, nullptr) != request.group_count) {
    Fail(*place, EPERM);
  }
  place->stage = ExecStage::kGid;
  if (request.set_gid) {
    Check(syscall(SYS_setresgid, request.gid, request.gid, request.gid), *place);
    if (!HasGid(request.gid)) Fail(*place, EPERM);
  }
  place->stage = ExecStage::kUid;
  if (request.set_uid) {
    // Else they would stay, and be the program's, when neither of the two users is root.
    if (!HasUid(request.uid)) syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    Check(syscall(SYS_setresuid, request.uid, request.uid, request.uid), *place);
    if (!HasUid(request.uid)) Fail(*place, EPERM);
  }
}

// After the ids, whose change undoes it.
void FollowParent(const ExecRequest& request, Place* place) {
  if (request.parent_death_signal == 0) return;
  place->stage = ExecStage::kParentDeathSignal;
  Check(syscall(SYS_prctl, PR_SET_PDEATHSIG, request.parent_death_signal, 0, 0, 0), *place);
  const long parent = syscall(SYS_getppid);
  // 0: one that cannot be seen from here, since this is the first process of a pid namespace (unshare(2)).
  const bool is_first = parent == 0 && syscall(SYS_getpid) == 1;
  if (parent != request.parent && !is_first) Fail(*place, ESRCH);  // it died before: nobody will be told
}

// Whether execvp(3) goes on with the next folder of PATH: else a file that is there would be passed over.
bool IsElsewherePerhaps(int errnum) {
  switch (errnum) {
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case ESTALE:
    case ENODEV:
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

// execvp(3), with the work done before.
[[noreturn]] void Exec(const ExecRequest& request, Place* place) {
  place->stage = ExecStage::kExec;
  int errnum = ENOENT;
  bool counts = false;
  for (int i = 0; request.candidates[i] != nullptr; ++i) {
    const char* const file = request.candidates[i];
    syscall(SYS_execve, file, request.argv, request.envp);
    if (errno == ENOEXEC) {
      request.shell_argv[1] = const_cast<char*>(file);
      syscall(SYS_execve, request.shell_argv[0], request.shell_argv, request.envp);
    }
    const int failed = errno;
    if (!counts) {
      errnum = failed;
      place->index = i;
      counts = failed != ENOENT && failed != ENOTDIR;
    }
    if (!IsElsewherePerhaps(failed)) break;
  }
  Fail(*place, errnum);
}

}  // namespace

void ExecChild(const ExecRequest* request) {
  Place place = {request->error_fd, ExecStage::kFd, -1, 0};
  ResetSignals(request->restore_signals);
  ArrangeFds(*request, &place);
  CloseOthers(*request, &place);
  Announce(*request, place);
  JoinSession(*request, &place);
  SetAttributes(*request, &place);
  ChangeIds(*request, &place);
  FollowParent(*request, &place);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &request->signal_mask, nullptr, sizeof request->signal_mask);
  Exec(*request, &place);
}

}  // namespace atfork::child

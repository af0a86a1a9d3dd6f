// exec_plan.cc - see exec_plan.h.
// man: execvp(3), close_range(2), proc(5), pipe(2), unix(7).
#include "posix/exec_plan.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <set>
#include <utility>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

namespace atfork {
namespace {

using child::CloseFds;
using child::ExecStage;
using child::FdAction;

constexpr char kPath[] = "PATH=";
constexpr char kDefaultPath[] = "/usr/bin:/bin";
constexpr char kShell[] = "/bin/sh";

char* Pointer(const std::string& string) { return const_cast<char*>(string.c_str()); }

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(Pointer(string));
  pointers.push_back(nullptr);
  return pointers;
}

// Of names that are there twice getenv(3) takes the first.
std::string PathOf(const std::vector<char*>& env) {
  constexpr size_t kLength = sizeof kPath - 1;
  for (const char* const entry : env) {
    if (entry != nullptr && std::strncmp(entry, kPath, kLength) == 0) return entry + kLength;
  }
  return kDefaultPath;
}

// An empty folder is the current one, which is the program's by then.
std::vector<std::string> Candidates(const std::string& file, const std::vector<char*>& env) {
  if (file.empty() || file.find('/') != std::string::npos) return {file};
  std::vector<std::string> candidates;
  const std::string path = PathOf(env);
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find(':', begin), path.size());
    std::string folder = path.substr(begin, end - begin);
    if (!folder.empty() && folder.back() != '/') folder += '/';
    candidates.push_back(folder.empty() ? "./" + file : folder + file);
    begin = end + 1;
  }
  return candidates;
}

// environ(7), which stays as it is for as long as the plan is needed. What has no `=` is nothing to JavaScript, either.
std::vector<char*> OwnEnvironment() {
  std::vector<char*> env;
  env.reserve(64);
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (std::strchr(*entry, '=') != nullptr) env.push_back(*entry);
  }
  env.push_back(nullptr);
  return env;
}

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) != -1; }

// Nothing is that high: it only says whether the kernel has it, which stays so.
bool HasCloseRange() {
  static const bool has = syscall(SYS_close_range, UINT_MAX, UINT_MAX, 0) == 0;
  return has;
}

template <typename T>
T* DataOrNull(std::vector<T>& vector) {
  return vector.empty() ? nullptr : vector.data();
}

}  // namespace

ExecPlan::ExecPlan(ExecOptions options) : options_(std::move(options)) {
  envp_ = options_.env ? Pointers(*options_.env) : OwnEnvironment();
  candidates_ = Candidates(options_.file, envp_);
  for (const std::string& candidate : candidates_) candidate_pointers_.push_back(candidate.c_str());
  candidate_pointers_.push_back(nullptr);
  argv_ = Pointers(options_.args);
  shell_argv_ = {const_cast<char*>(kShell), nullptr};
  if (argv_.size() > 1) shell_argv_.insert(shell_argv_.end(), argv_.begin() + 1, argv_.end() - 1);
  shell_argv_.push_back(nullptr);

  request_.candidates = candidate_pointers_.data();
  request_.argv = argv_.data();
  request_.envp = envp_.data();
  request_.shell_argv = shell_argv_.data();
  request_.error_fd = -1;
  request_.passed_fds = DataOrNull(options_.passed_fds);
  request_.passed_count = static_cast<int>(options_.passed_fds.size());
  request_.restore_signals = options_.restore_signals;
  request_.signal_mask = options_.signal_mask.value_or(0);
  request_.setsid = options_.setsid;
  request_.set_pgid = options_.pgid.has_value();
  request_.pgid = options_.pgid.value_or(0);
  request_.terminal = options_.terminal;
  request_.foreground = options_.foreground;
  request_.set_umask = options_.umask.has_value();
  request_.umask = options_.umask.value_or(0);
  request_.limits = DataOrNull(options_.limits);
  request_.limit_count = static_cast<int>(options_.limits.size());
  request_.set_nice = options_.nice.has_value();
  request_.nice = options_.nice.value_or(0);
  request_.affinity = DataOrNull(options_.affinity);
  request_.affinity_size = options_.affinity.size();
  request_.chroot = options_.chroot ? options_.chroot->c_str() : nullptr;
  request_.cwd = options_.cwd ? options_.cwd->c_str() : nullptr;
  request_.no_new_privs = options_.no_new_privs;
  request_.may_keep_groups = options_.may_keep_groups && !options_.groups.has_value();
  request_.set_groups = options_.groups.has_value() || options_.uid.has_value() || options_.gid.has_value();
  if (options_.groups) request_.groups = DataOrNull(*options_.groups);
  if (options_.groups) request_.group_count = static_cast<int>(options_.groups->size());
  request_.set_gid = options_.gid.has_value();
  request_.gid = options_.gid.value_or(0);
  request_.set_uid = options_.uid.has_value();
  request_.uid = options_.uid.value_or(0);
  request_.parent_death_signal = options_.parent_death_signal;
}

Status ExecPlan::Open(const ExecMeans& means) {
  // To setresuid(2) that means "as it is".
  if (options_.gid == static_cast<gid_t>(-1)) return Error::Errno("setresgid", "ids", EINVAL);
  if (options_.uid == static_cast<uid_t>(-1)) return Error::Errno("setresuid", "ids", EINVAL);
  Status done = CheckFds();
  if (done) done = ChooseCloseFds(means);
  const size_t count = options_.stdio.size();
  own_ends_.resize(count);
  childs_ends_.resize(count);
  for (size_t i = 0; done && i < count; ++i) done = OpenPair(i);
  request_.fds = DataOrNull(fds_);
  request_.fd_count = static_cast<int>(fds_.size());
  return done;
}

// Before any is opened here, which could take the number of one that is closed.
Status ExecPlan::CheckFds() const {
  int least = static_cast<int>(options_.stdio.size());
  for (const int fd : options_.passed_fds) {
    if (fd < least) return Error::Errno("fcntl", "fd", EINVAL);
    least = fd + 1;
  }
  for (const Stdio& each : options_.stdio) {
    if (each.kind == Stdio::kInherit && !IsOpen(each.fd)) {
      Error error = Error::Errno("fcntl", "fd", EBADF);
      error.detail = "fd " + std::to_string(each.fd);
      return error;
    }
  }
  for (const int fd : options_.passed_fds) {
    if (IsOpen(fd)) continue;
    Error error = Error::Errno("fcntl", "fd", EBADF);
    error.detail = "fd " + std::to_string(fd);
    return error;
  }
  return Unit{};
}

Status ExecPlan::ChooseCloseFds(const ExecMeans& means) {
  request_.close_fds = CloseFds::kNever;
  if (!options_.close_fds) return Unit{};
  if (means.close_range && HasCloseRange()) {
    request_.close_fds = CloseFds::kCloseRange;
    return Unit{};
  }
  if (means.proc && UniqueFd(open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC))) {
    request_.close_fds = CloseFds::kProc;
    return Unit{};
  }
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  // The hard one: descriptors stay that were opened before the soft one was lowered.
  if (limit.rlim_max > means.most_to_close) {
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "closeFds",
                          "neither close_range(2) nor /proc is there, and RLIMIT_NOFILE is too high");
  }
  request_.close_fds = CloseFds::kOneByOne;
  request_.most_fds = static_cast<int>(limit.rlim_max);
  return Unit{};
}

Status ExecPlan::OpenPair(size_t index) {
  const Stdio& stdio = options_.stdio[index];
  FdAction action = {static_cast<int>(index), FdAction::kNullDevice, false};
  if (stdio.kind == Stdio::kInherit) {
    action.source = stdio.fd;
    action.inherited = true;
  } else if (stdio.kind == Stdio::kUntouched) {
    action.source = FdAction::kUntouched;
  } else if (stdio.kind != Stdio::kNull) {
    int ends[2];
    const bool is_socket = stdio.kind == Stdio::kSocket;
    const int made = is_socket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) : pipe2(ends, O_CLOEXEC);
    if (made != 0) return Error::Errno(is_socket ? "socketpair" : "pipe2", "fd");
    const int childs = stdio.kind == Stdio::kOutput ? 1 : 0;
    childs_ends_[index].reset(ends[childs]);
    own_ends_[index].reset(ends[1 - childs]);
    action.source = ends[childs];
  }
  fds_.push_back(action);
  return Unit{};
}

std::string ExecPlan::Subject(ExecStage stage, int index) const {
  switch (stage) {
    case ExecStage::kChroot:
      return options_.chroot.value_or("");
    case ExecStage::kCwd:
      return options_.cwd.value_or("/");
    case ExecStage::kExec: {
      const auto at = static_cast<size_t>(index);
      const bool is_there = index >= 0 && at < candidates_.size();
      // Which of them it is that is not there says nothing.
      return is_there && candidates_.size() == 1 ? candidates_[at] : options_.file;
    }
    case ExecStage::kFd:
      return index < 0 ? "" : "fd " + std::to_string(index);
    case ExecStage::kRlimit:
      return index < 0 ? "" : "resource " + std::to_string(index);
    default:
      return "";
  }
}

std::vector<UniqueFd> ExecPlan::TakeOwnEnds() {
  childs_ends_.clear();
  return std::move(own_ends_);
}

bool HasDuplicatesInEnvironment() {
  std::set<std::string> names;
  for (const char* const entry : OwnEnvironment()) {
    if (entry != nullptr && !names.emplace(entry, std::strchr(entry, '=')).second) return true;
  }
  return false;
}

int OpenLonelySocket() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return -1;
  close(ends[1]);
  return ends[0];
}

}  // namespace atfork

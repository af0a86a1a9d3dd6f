// exec_plan.h - all that a child needs to become another program, put together before there is a child.
//
// Runs in:  the parent, any thread.
// Calls:    fcntl(2), close_range(2), open(2), getrlimit(2); pipe2(2) and socketpair(2) in OpenStdio. Allocates.
#ifndef ATFORK_POSIX_EXEC_PLAN_H_
#define ATFORK_POSIX_EXEC_PLAN_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "child/exec_child.h"
#include "posix/fd.h"
#include "posix/result.h"

namespace atfork {

// One descriptor of the program.
struct Stdio {
  enum Kind {
    kNull,       // /dev/null
    kInput,      // a pipe that the program reads
    kOutput,     // a pipe that it writes
    kSocket,     // one of a pair of sockets
    kInherit,    // a copy of `fd`
    kUntouched,  // FdAction::kUntouched
  };
  Kind kind = kNull;
  int fd = -1;
};

struct ExecOptions {
  std::string file;                             // looked up in PATH of `env` unless it has a slash
  std::vector<std::string> args;                // argv[0] included
  std::optional<std::vector<std::string>> env;  // NAME=value; none: environ(7), which nobody may change meanwhile
  std::vector<Stdio> stdio;
  std::vector<int> passed_fds;  // ascending, beyond stdio: else EINVAL
  bool close_fds = true;
  bool restore_signals = true;
  std::optional<uint64_t> signal_mask;  // bit 0 is signal 1. None: the calling thread's
  bool setsid = false;
  std::optional<pid_t> pgid;
  int terminal = -1;
  int foreground = -1;
  std::optional<mode_t> umask;
  std::vector<child::Limit> limits;
  std::optional<int> nice;
  std::vector<uint8_t> affinity;
  std::optional<std::string> chroot;
  std::optional<std::string> cwd;
  bool no_new_privs = false;
  std::optional<std::vector<gid_t>> groups;  // none: no group but the gid's, if uid or gid is given
  bool may_keep_groups = false;              // if they are not given, cannot be changed, and no id changes either
  std::optional<gid_t> gid;
  std::optional<uid_t> uid;
  int parent_death_signal = 0;
};

// What the system is taken to have, for tests: all that is used where it is there, and done without where it is not.
struct ExecMeans {
  bool vfork = true;
  bool pidfd = true;
  bool close_range = true;
  bool proc = true;
  // More calls of close(2) than that take seconds.
  uint64_t most_to_close = uint64_t{1} << 20;
};

class ExecPlan {
 public:
  explicit ExecPlan(ExecOptions options);
  ExecPlan(const ExecPlan&) = delete;
  ExecPlan& operator=(const ExecPlan&) = delete;

  // Opens the pipes. Descriptors that are to be inherited or passed must be open: EBADF.
  Status Open(const ExecMeans& means = {});

  child::ExecRequest* request() { return &request_; }
  // What a failure at this stage is about; `index` as in ExecFailure.
  std::string Subject(child::ExecStage stage, int index) const;

  // Of each of Stdio the end that stays here, closed if there is none. And forgets the others.
  std::vector<UniqueFd> TakeOwnEnds();

 private:
  Status CheckFds() const;
  Status ChooseCloseFds(const ExecMeans& means);
  Status OpenPair(size_t index);

  ExecOptions options_;
  std::vector<std::string> candidates_;
  std::vector<const char*> candidate_pointers_;
  std::vector<char*> argv_;
  std::vector<char*> shell_argv_;
  std::vector<char*> envp_;
  std::vector<child::FdAction> fds_;
  std::vector<UniqueFd> own_ends_;
  std::vector<UniqueFd> childs_ends_;
  child::ExecRequest request_ = {};
};

// Whether a name is twice in environ(7): which of the two counts, no two programs agree upon.
bool HasDuplicatesInEnvironment();

// One of a pair of sockets, the other of which is closed; -1 with errno. What a stream of a program is that did not
// start.
int OpenLonelySocket();

}  // namespace atfork

#endif  // ATFORK_POSIX_EXEC_PLAN_H_

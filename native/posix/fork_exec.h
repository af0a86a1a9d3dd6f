// fork_exec.h - starts another program. See fork_exec.cc.
#ifndef ATFORK_POSIX_FORK_EXEC_H_
#define ATFORK_POSIX_FORK_EXEC_H_

#include <sys/types.h>

#include <vector>

#include "posix/exec_plan.h"
#include "posix/fd.h"
#include "posix/result.h"

namespace atfork {

struct StartedChild {
  pid_t pid = -1;
  UniqueFd pidfd;               // closed: the kernel has none
  std::vector<UniqueFd> stdio;  // of each of ExecOptions::stdio the end that is ours, closed if there is none
};

// The program runs when this returns; or the error says at which stage it failed, and the child has been reaped. The
// error's detail is what the stage was about: a path, a descriptor.
Result<StartedChild> ForkExec(ExecOptions options, const ExecMeans& means = {});

// What a child has said in `length` bytes of `report`; -1: nothing yet, 0: nothing at all. For ForkExec, and its tests.
Status ReadReport(const ExecPlan& plan, const void* report, ssize_t length);

}  // namespace atfork

#endif  // ATFORK_POSIX_FORK_EXEC_H_

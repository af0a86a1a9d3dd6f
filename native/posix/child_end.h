// child_end.h - how one known child ended and what it used, and signals to it. See child_end.cc.
#ifndef ATFORK_POSIX_CHILD_END_H_
#define ATFORK_POSIX_CHILD_END_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <optional>

#include "posix/result.h"
#include "posix/wait.h"

namespace atfork {

struct ChildEnd {
  WaitStatus status;
  rusage usage;
};

// Reaps the child if it has ended; an empty optional: it has not. `pidfd` -1: there is none.
// Errors: ECHILD when somebody else reaped it.
Result<std::optional<ChildEnd>> ReapChild(pid_t pid, int pidfd);

// Waits for the end of the child, and forgets how it ended, should nobody have reaped it yet.
void ReapSilently(pid_t pid, int pidfd);

// Ends a child that nobody has reaped, and reaps it.
void KillAndReap(pid_t pid, int pidfd);

// Whether `pid` is a child of this process, running or not, and nobody has reaped it.
bool IsChild(pid_t pid);

// 0 or an errno; ESRCH when it has ended, whether or not somebody has reaped it. Never another process that has got
// the pid since.
int SignalChild(pid_t pid, int pidfd, int signal);

}  // namespace atfork

#endif  // ATFORK_POSIX_CHILD_END_H_

// wait.h - wait for one known child, and what became of it. See wait.cc.
#ifndef ATFORK_POSIX_WAIT_H_
#define ATFORK_POSIX_WAIT_H_

#include <sys/types.h>

#include <chrono>
#include <optional>

#include "posix/result.h"

namespace atfork {

// How a child ended.
struct WaitStatus {
  bool signaled;     // true: a signal ended it; false: it called _exit
  int code;          // the signal's number, or the exit code (0..255)
  bool core_dumped;  // only ever true with `signaled`
};

// Reaps child `pid` and decodes its status; an empty optional means that it still runs (or is stopped).
// `timeout`: none waits for as long as it takes, 0 only looks.
// Errors: ECHILD when `pid` is no child of this process, or somebody else reaped it; EINVAL when pid <= 0.
Result<std::optional<WaitStatus>> WaitForChild(pid_t pid, std::optional<std::chrono::nanoseconds> timeout);

// A descriptor that becomes readable when child `pid` ends; -1 with errno where there is none (before Linux 5.3, or a
// seccomp filter says no).
int OpenPidfd(pid_t pid);

// The number of SIGRTMIN: libc keeps the kernel's first few real-time signals to itself, and says so at run time.
int FirstRealTimeSignal();

}  // namespace atfork

#endif  // ATFORK_POSIX_WAIT_H_

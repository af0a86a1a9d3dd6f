// program_output.h - feeds a program that ForkExec has started, takes what it writes, and waits for its end.
//
// Runs in:  the parent or a complete child, any thread, which stands still. A fork() of this library is refused
// meanwhile
//           (fork_permit.h): its child would hold the pipes open. See program_output.cc.
#ifndef ATFORK_POSIX_PROGRAM_OUTPUT_H_
#define ATFORK_POSIX_PROGRAM_OUTPUT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "posix/child_end.h"
#include "posix/fork_exec.h"
#include "posix/result.h"

namespace atfork {

struct ProgramLimits {
  double timeout_ms = 0;             // that it may take; 0: no limit
  int kill_signal = 15;              // what is sent at the limit, or when it writes too much
  double grace_ms = -1;              // from there to SIGKILL; negative: never
  uint64_t max_buffer = UINT64_MAX;  // bytes that may be written to each descriptor
  bool max_buffer_of_all = false;    // or to all of them together
};

struct ProgramOutput {
  // Of each of Stdio; none where nothing is read from. Where there was too much, up to 64 KiB more than `max_buffer`.
  std::vector<std::optional<std::string>> output;
  ChildEnd end;
  bool timed_out = false;
  int overflowed = -1;  // the descriptor to which more than `max_buffer` was written
};

// Waits until the program has ended and everybody has closed what it wrote to; of one that was killed, until its end
// only. Errors: ECHILD, `stage` "wait", when somebody else has reaped it. The program has ended in any case.
Result<ProgramOutput> GatherOutput(StartedChild child, const std::string& input, const ProgramLimits& limits);

}  // namespace atfork

#endif  // ATFORK_POSIX_PROGRAM_OUTPUT_H_

// stdio_guard.h - the end of a child leaves the terminal and the stdio flags as they are.
//
// When Node ends, it puts file descriptors 0 to 2 back to what they were when it started: O_NONBLOCK and the terminal's
// mode (ResetStdio in src/node.cc, uv_tty_reset_mode(3)). Both belong to the open file description, which a forked
// child shares with its parent: after the child's exit the parent's stdin would block, and its raw terminal be cooked.
// In a child those calls, and only those, do nothing.
#ifndef ATFORK_RUNTIME_STDIO_GUARD_H_
#define ATFORK_RUNTIME_STDIO_GUARD_H_

#include "posix/result.h"

namespace atfork::runtime {

// Main thread, once, at load.
Status WatchStdio();

// Child: from here on what it inherited is not put back. True when one of them is a terminal: then StdioEnds must be
// called before the environment's handles are closed (closing a raw terminal's handle puts its mode back, libuv #4399).
bool KeepInheritedStdio();

// Child, any thread: the process is ending; what changes a terminal's mode from here on is a reset.
void StdioEnds();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_STDIO_GUARD_H_

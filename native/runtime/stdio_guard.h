// stdio_guard.h - the end of a child leaves the terminal and the stdio flags as they are.
//
// When Node ends, be it by exit, SIGINT, SIGTERM or a crash, it puts file descriptors 0 to 2 back to what they were
// when it started: O_NONBLOCK and the terminal's mode (ResetStdio in src/node.cc, uv_tty_reset_mode(3)). Both belong to
// the open file description, which a forked child shares with its parent: after the child's end the parent's stdin
// would block, and its raw terminal be cooked. In a child those calls do nothing.
#ifndef ATFORK_RUNTIME_STDIO_GUARD_H_
#define ATFORK_RUNTIME_STDIO_GUARD_H_

#include "posix/result.h"

namespace atfork::runtime {

// Main thread, once, at load.
Status WatchStdio();

// Child: from here on nothing that it inherited is put back.
void KeepInheritedStdio();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_STDIO_GUARD_H_

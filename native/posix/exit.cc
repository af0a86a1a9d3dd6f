// exit.cc - end the process at once: no atexit handlers, no flush of stdio, no destructors, and none of what Node does
// at exit (listeners, and the reset of O_NONBLOCK and termios, which a forked child shares with its parent).
// Runs in:  the parent or the child, any thread. Async-signal-safe.
// Calls:    _exit(2), which on Linux is exit_group(2): it ends all threads, whichever calls it.
#include "posix/exit.h"

#include <unistd.h>

namespace atfork {

void ExitNow(int code) { _exit(code); }

}  // namespace atfork

// stdio_guard.cc - see stdio_guard.h.
// Runs in:  any thread that calls fcntl or tcsetattr from the runtime module, signal handlers of Node's included:
//           async-signal-safe.
// Rests on: in a process that does not go on to exec, libuv sets O_NONBLOCK by ioctl(2) FIONBIO: an F_SETFL on 0 to 2
//           is ResetStdio's. A terminal's mode is set with TCSADRAIN where the program asks for it (setRawMode of
//           node:tty, uv_tty_set_mode), with TCSANOW in resets: ResetStdio, uv_tty_reset_mode.
#include "runtime/stdio_guard.h"

#include <fcntl.h>
#include <stdarg.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <iterator>

#include "runtime/import_table.h"

namespace atfork::runtime {
namespace {

// Process-wide; the child that set it. Its number, since the children of a fork that is not ours have this memory too,
// and what they do with their stdio before they call exec (libuv clears O_NONBLOCK) is theirs.
std::atomic<pid_t> keeper{0};
int (*original_fcntl)(int, int, ...) = fcntl;
int (*original_tcsetattr)(int, int, const struct termios*) = tcsetattr;

bool Keeps() { return keeper.load(std::memory_order_relaxed) == getpid(); }

int GuardedFcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  const long argument = va_arg(rest, long);
  va_end(rest);
  if (command == F_SETFL && fd >= STDIN_FILENO && fd <= STDERR_FILENO && Keeps()) return 0;
  return original_fcntl(fd, command, argument);
}

int GuardedTcsetattr(int fd, int actions, const struct termios* mode) {
  if (actions == TCSANOW && Keeps()) return 0;
  return original_tcsetattr(fd, actions, mode);
}

}  // namespace

Status WatchStdio() {
#if defined(__x86_64__)
  const char* fcntl_name = "fcntl64";
#else
  const char* fcntl_name = "fcntl";
#endif
  const ImportReplacement replacements[] = {
      {fcntl_name, reinterpret_cast<void*>(GuardedFcntl), reinterpret_cast<void**>(&original_fcntl)},
      {"tcsetattr", reinterpret_cast<void*>(GuardedTcsetattr), reinterpret_cast<void**>(&original_tcsetattr)},
  };
  return ReplaceImports(replacements, std::size(replacements));
}

void KeepInheritedStdio() { keeper.store(getpid()); }

}  // namespace atfork::runtime

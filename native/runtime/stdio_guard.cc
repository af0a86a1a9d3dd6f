// stdio_guard.cc - see stdio_guard.h.
// Runs in:  any thread that calls fcntl or tcsetattr from the runtime module.
// Calls:    sigaction(2), isatty(3), atexit(3).
// Rests on: libuv sets O_NONBLOCK by ioctl(2) FIONBIO, so an F_SETFL on 0 to 2 is ResetStdio's. A change of a
// terminal's
//           mode may be the program's wish, until the process ends: atexit(3) handlers run in reverse order, so one
//           that is registered in the child runs before Node's.
#include "runtime/stdio_guard.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iterator>

#include "runtime/import_table.h"

namespace atfork::runtime {
namespace {

// Process-wide; set once in a child, on its only thread, and inherited by its own children.
std::atomic<bool> inherited{false};
std::atomic<bool> ending{false};
int (*original_fcntl)(int, int, ...) = fcntl;
int (*original_tcsetattr)(int, int, const struct termios*) = tcsetattr;

int GuardedFcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  const long argument = va_arg(rest, long);
  va_end(rest);
  if (command == F_SETFL && fd >= STDIN_FILENO && fd <= STDERR_FILENO && inherited.load(std::memory_order_relaxed)) {
    return 0;
  }
  return original_fcntl(fd, command, argument);
}

int GuardedTcsetattr(int fd, int actions, const struct termios* mode) {
  if (ending.load(std::memory_order_relaxed)) return 0;
  return original_tcsetattr(fd, actions, mode);
}

// Node's handler for SIGINT and SIGTERM (SignalExit) resets stdio and then dies of the signal. It is known by
// SA_RESETHAND, which libuv's handler does not have. The default action does the second without the first.
void DieOfSignalsPlainly() {
  for (const int number : {SIGINT, SIGTERM}) {
    struct sigaction action;
    if (sigaction(number, nullptr, &action) != 0 || (action.sa_flags & SA_RESETHAND) == 0) continue;
    action.sa_flags = 0;
    action.sa_handler = SIG_DFL;
    sigaction(number, &action, nullptr);
  }
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

bool KeepInheritedStdio() {
  if (!inherited.exchange(true)) atexit(StdioEnds);
  DieOfSignalsPlainly();
  return isatty(STDIN_FILENO) || isatty(STDOUT_FILENO) || isatty(STDERR_FILENO);
}

void StdioEnds() { ending.store(true); }

}  // namespace atfork::runtime

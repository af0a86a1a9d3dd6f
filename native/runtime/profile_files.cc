// profile_files.cc - see profile_files.h.
// Runs in:  any thread that opens a file through the runtime; it does something in a child only.
// Calls:    open(2).
// Rests on: DiagnosticFilename of Node (src/util.cc): kind.date.time.pid.thread.number.extension, "CPU.20261122.
//           145250.9532.0.001.cpuprofile". `${pid}` in a name that is given stands for the pid since Node 22.
#include "runtime/profile_files.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <utility>

#include "runtime/import_table.h"

namespace atfork::runtime {
namespace {

using Open = int (*)(const char* path, int flags, ...);

// Process-wide, written at load.
struct State {
  pid_t named_for = 0;  // whose pid is in the names
  std::vector<std::string> given;
  Open open = ::open;
  Open open64 = ::open64;
};
State state;

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

std::string Expanded(std::string name, pid_t pid) {
  static constexpr char kPid[] = "${pid}";
  for (size_t at; (at = name.find(kPid)) != std::string::npos;)
    name.replace(at, std::strlen(kPid), std::to_string(pid));
  return name;
}

// What a child with the number `self` opens instead of `path`.
std::string InChild(const std::string& path, pid_t self) {
  for (const std::string& name : state.given) {
    const std::string of_parent = Expanded(name, state.named_for);
    if (!EndsWith(path, "/" + of_parent)) continue;
    const std::string own = Expanded(name, self);
    return own == of_parent ? "/dev/null" : path.substr(0, path.size() - of_parent.size()) + own;
  }
  if (!EndsWith(path, ".cpuprofile") && !EndsWith(path, ".heapprofile")) return path;
  const size_t start = path.rfind('/') + 1;
  int pid = 0, before = 0, after = 0;
  const bool fits =
      std::sscanf(path.c_str() + start, "%*[A-Za-z].%*8[0-9].%*6[0-9].%n%d%n", &before, &pid, &after) == 1;
  if (!fits || pid != state.named_for) return path;
  return path.substr(0, start + before) + std::to_string(self) + path.substr(start + after);
}

int OpenBy(Open original, const char* path, int flags, mode_t mode) {
  if ((flags & O_CREAT) == 0) return original(path, flags, mode);
  const pid_t self = getpid();
  return self == state.named_for ? original(path, flags, mode) : original(InChild(path, self).c_str(), flags, mode);
}

// open(2): there is one for these only.
mode_t ModeOf(va_list rest, int flags) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
}

int WatchedOpen(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = ModeOf(rest, flags);
  va_end(rest);
  return OpenBy(state.open, path, flags, mode);
}

int WatchedOpen64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = ModeOf(rest, flags);
  va_end(rest);
  return OpenBy(state.open64, path, flags, mode);
}

}  // namespace

Status WatchProfileFiles(std::vector<std::string> names) {
  state.named_for = getpid();
  state.given = std::move(names);
  // Which of them libuv uses depends on how it was built; the runtime may not have the other.
  Status open = ReplaceImport("open", reinterpret_cast<void*>(WatchedOpen), reinterpret_cast<void**>(&state.open));
  Status open64 =
      ReplaceImport("open64", reinterpret_cast<void*>(WatchedOpen64), reinterpret_cast<void**>(&state.open64));
  return open ? open : open64;
}

}  // namespace atfork::runtime

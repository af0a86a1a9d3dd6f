// stillness.cc - see stillness.h.
// Runs in:  any thread.
// Calls:    proc(5): /proc/self/task, TID/stat (by thread_census), TID/syscall (number, arguments).
#include "posix/stillness.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "posix/fd.h"
#include "posix/thread_census.h"

namespace atfork {
namespace {

// What the file says of a thread that sleeps in a system call: its number, and six arguments in hexadecimal.
bool SleepsForEver(const char* text) {
  long number = -1;
  unsigned long arguments[6];
  if (std::sscanf(text, "%ld %lx %lx %lx %lx", &number, &arguments[0], &arguments[1], &arguments[2], &arguments[3]) !=
      5)
    return false;
  // futex(2): the fourth is the time limit. epoll_wait(2): a number of milliseconds, none if negative.
  if (number == SYS_futex) return arguments[3] == 0;
#ifdef SYS_epoll_wait
  if (number == SYS_epoll_wait) return static_cast<int>(arguments[3]) < 0;
#endif
  return number == SYS_epoll_pwait && static_cast<int>(arguments[3]) < 0;
}

struct Search {
  int task_fd;
  pid_t self;
  bool all_sleep;
};

bool Look(pid_t tid, void* context) {
  auto* const search = static_cast<Search*>(context);
  if (tid == search->self) return true;
  ThreadRecord record;
  if (!ReadThread(search->task_fd, tid, nullptr, &record) || record.is_ending) {
    search->all_sleep = false;  // that wakes who waits for it
    return false;
  }
  char text[256];
  const std::string path = std::to_string(tid) + "/syscall";
  const UniqueFd file(openat(search->task_fd, path.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t length = file ? read(file.get(), text, sizeof text - 1) : -1;
  search->all_sleep = false;
  if (length <= 0 || record.state != 'S') return false;
  text[length] = '\0';
  search->all_sleep = SleepsForEver(text);
  return search->all_sleep;
}

}  // namespace

bool AllOthersSleep() {
  const Result<UniqueFd> folder = OpenTaskDirectory();
  if (!folder) return false;
  const int fd = folder.value().get();
  Search search = {fd, static_cast<pid_t>(syscall(SYS_gettid)), true};
  const Status listed = ForEachThread(fd, Look, &search);
  return listed.ok() && search.all_sleep;
}

}  // namespace atfork

// loop_fds.cc - see loop_fds.h.
// Runs in:  the watchers on any thread of the runtime, or of an addon that uses libuv; the rest on the main thread.
// Calls:    epoll_create1(2), eventfd(2), pipe2(2), fcntl(2) F_DUPFD, proc(5) fd.
// Locks:    `table.lock`, for a few instructions, and over a fork.
#include "runtime/loop_fds.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "posix/every_child.h"
#include "posix/fork_lock.h"
#include "runtime/gate.h"
#include "runtime/import_table.h"
#include "runtime/loop_rings.h"

namespace atfork::runtime {
namespace {

// Process-wide: descriptors are the process's.
struct Table {
  ForkLock lock;
  KnownLoopFds known;
  std::vector<int> plain_event_fds;
  std::vector<PipeEnds> pipes_of_others;  // of `known.pipes`, those that the main thread did not make
  PipeEnds last_pipe = {-1, -1};
  int least_new = 0;
  int (*epoll_create1)(int);
  int (*eventfd)(unsigned, int);
  int (*pipe2)(int*, int);
  long (*syscall)(long, ...);
};
Table table;

constexpr auto kNobody = ~pthread_t{0};

bool OnMainThread() { return syscall(SYS_gettid) == getpid(); }

template <typename T, typename Predicate>
void EraseIf(std::vector<T>* values, Predicate predicate) {
  values->erase(std::remove_if(values->begin(), values->end(), predicate), values->end());
}

// The number has a new meaning.
void ForgetFd(int fd) {
  const auto is_fd = [fd](int known) { return known == fd; };
  const auto has_fd = [fd](const PipeEnds& pipe) { return pipe.read_end == fd || pipe.write_end == fd; };
  EraseIf(&table.known.epoll_sets, [fd](const EpollSet& set) { return set.fd == fd; });
  EraseIf(&table.known.event_fds, is_fd);
  EraseIf(&table.plain_event_fds, is_fd);
  EraseIf(&table.known.pipes, has_fd);
  EraseIf(&table.pipes_of_others, has_fd);
}

// A descriptor that confined threads may write to once it exists; see KeepNewLoopFdsFrom.
int Raised(int fd, int flags) {
  if (fd >= table.least_new) return fd;
  const int raised = fcntl(fd, (flags & O_CLOEXEC) != 0 ? F_DUPFD_CLOEXEC : F_DUPFD, table.least_new);
  if (raised < 0) return fd;
  close(fd);
  return raised;
}

// How spawnSync begins.
int WatchedEpollCreate1(int flags) {
  PassGate();
  const int fd = table.epoll_create1(flags);
  if (fd < 0) return fd;
  const ForkLock::Guard guard(&table.lock);
  if (!guard.entered()) return fd;
  ForgetFd(fd);
  table.known.epoll_sets.push_back({fd, pthread_self()});
  return fd;
}

int WatchedEventfd(unsigned count, int flags) {
  int fd = table.eventfd(count, flags);
  if (fd < 0) return fd;
  const ForkLock::Guard guard(&table.lock);
  if (!guard.entered()) return fd;
  fd = Raised(fd, flags);
  ForgetFd(fd);
  table.known.event_fds.push_back(fd);
  return fd;
}

ATFORK_IN_EVERY_CHILD int WatchedPipe2(int* ends, int flags) {
  const int result = table.pipe2(ends, flags);
  if (result != 0) return result;
  const ForkLock::Guard guard(&table.lock);
  if (!guard.entered()) return result;
  table.last_pipe = {Raised(ends[0], flags), Raised(ends[1], flags)};
  ends[0] = table.last_pipe.read_end;
  ends[1] = table.last_pipe.write_end;
  ForgetFd(ends[0]);
  ForgetFd(ends[1]);
  table.known.pipes.push_back(table.last_pipe);
  if (!OnMainThread()) table.pipes_of_others.push_back(table.last_pipe);
  return result;
}

// libuv makes this system call by syscall(2). The arguments that a call does not have are passed on as they come.
ATFORK_IN_EVERY_CHILD long WatchedSyscall(long number, long a, long b, long c, long d, long e, long f) {
  long result = 0;
  if (AnswerForRing(number, a, b, &result)) return result;
  return table.syscall(number, a, b, c, d, e, f);
}

// Pairs the ends of pipes that are older than this addon.
void LearnPipes(const std::vector<int>& fds) {
  struct End {
    int fd;
    ino_t inode;
    bool writes;
  };
  std::vector<End> ends;
  for (const int fd : fds) {
    struct stat status;
    if (fd <= STDERR_FILENO || fstat(fd, &status) != 0 || !S_ISFIFO(status.st_mode)) continue;
    ends.push_back({fd, status.st_ino, (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY});
  }
  for (const End& reader : ends) {
    for (const End& writer : ends) {
      if (!reader.writes && writer.writes && reader.inode == writer.inode)
        table.known.pipes.push_back({reader.fd, writer.fd});
    }
  }
}

// Both ends are still that pipe's, neither number somebody else's by now.
bool IsThere(const PipeEnds& pipe) {
  struct stat reader, writer;
  return fstat(pipe.read_end, &reader) == 0 && fstat(pipe.write_end, &writer) == 0 && S_ISFIFO(reader.st_mode) &&
         reader.st_ino == writer.st_ino && reader.st_dev == writer.st_dev;
}

}  // namespace

bool FdLinkIs(int fd, const char* expected) {
  char path[64], target[64];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(path, target, sizeof target);
  return length == static_cast<ssize_t>(std::strlen(expected)) &&
         std::memcmp(target, expected, std::strlen(expected)) == 0;
}

Result<std::vector<int>> ListOpenFds() {
  static constexpr char kFolder[] = "/proc/self/fd";
  DIR* directory = opendir(kFolder);
  if (directory == nullptr) return Error{errno, "opendir", "fork", nullptr, kFolder};
  std::vector<int> fds;
  while (const struct dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.' && std::atoi(entry->d_name) != dirfd(directory))
      fds.push_back(std::atoi(entry->d_name));
  }
  closedir(directory);
  return fds;
}

Status WatchLoopFds() {
  table.epoll_create1 = epoll_create1;
  table.eventfd = eventfd;
  table.pipe2 = pipe2;
  table.syscall = syscall;
  const ImportReplacement replacements[] = {
      {"epoll_create1", reinterpret_cast<void*>(WatchedEpollCreate1), reinterpret_cast<void**>(&table.epoll_create1)},
      {"eventfd", reinterpret_cast<void*>(WatchedEventfd), reinterpret_cast<void**>(&table.eventfd)},
      {"pipe2", reinterpret_cast<void*>(WatchedPipe2), reinterpret_cast<void**>(&table.pipe2)},
      {"syscall", reinterpret_cast<void*>(WatchedSyscall), reinterpret_cast<void**>(&table.syscall)},
  };
  Status watched = ReplaceImports(replacements, std::size(replacements));
  if (!watched) return watched;

  Result<std::vector<int>> fds = ListOpenFds();
  if (!fds) return fds.error();
  const ForkLock::Guard guard(&table.lock);
  for (const int fd : fds.value()) {
    if (FdLinkIs(fd, kEpollLink)) table.known.epoll_sets.push_back({fd, 0});
    if (FdLinkIs(fd, kEventFdLink)) table.known.event_fds.push_back(fd);
  }
  LearnPipes(fds.value());
  return LearnLoopRings(fds.value());
}

int EventLoops() {
  const ForkLock::Guard guard(&table.lock);
  return static_cast<int>(table.known.epoll_sets.size());
}

bool HasInnerLoop(pthread_t thread) {
  const ForkLock::Guard guard(&table.lock);
  const auto is_its = [thread](const EpollSet& set) { return set.maker == thread && FdLinkIs(set.fd, kEpollLink); };
  return std::count_if(table.known.epoll_sets.begin(), table.known.epoll_sets.end(), is_its) > 1;
}

bool MayHaveMadeLoop(pthread_t thread, int epoll_fd) {
  const ForkLock::Guard guard(&table.lock);
  if (!guard.entered()) return false;
  return std::any_of(table.known.epoll_sets.begin(), table.known.epoll_sets.end(), [=](const EpollSet& set) {
    return set.fd == epoll_fd && (set.maker == thread || set.maker == 0);
  });
}

void NoteLoopUser(pthread_t thread, int epoll_fd) {
  for (EpollSet& set : table.known.epoll_sets) {
    if (set.fd == epoll_fd && set.maker == 0) set.maker = thread;
  }
}

void DisownLoops() {
  const ForkLock::Guard guard(&table.lock);
  if (!guard.entered()) return;
  for (EpollSet& set : table.known.epoll_sets) {
    if (set.maker == pthread_self()) set.maker = kNobody;
  }
}

void LockLoopFds() {
  table.lock.LockForFork();
  table.last_pipe = {-1, -1};
}

void UnlockLoopFds() { table.lock.UnlockAfterFork(); }

const KnownLoopFds& LoopFds() {
  EraseIf(&table.known.pipes, [](const PipeEnds& pipe) { return !IsThere(pipe); });
  EraseIf(&table.pipes_of_others, [](const PipeEnds& pipe) { return !IsThere(pipe); });
  std::sort(table.known.pipes.begin(), table.known.pipes.end(),
            [](const PipeEnds& a, const PipeEnds& b) { return a.read_end < b.read_end; });
  return table.known;
}

const std::vector<PipeEnds>& PipesOfOthers() { return table.pipes_of_others; }

bool IsPlainEventFd(int fd) {
  return std::find(table.plain_event_fds.begin(), table.plain_event_fds.end(), fd) != table.plain_event_fds.end();
}

void NotePlainEventFd(int fd) {
  if (!IsPlainEventFd(fd)) table.plain_event_fds.push_back(fd);
}

void ForgetLoopFd(int fd) { ForgetFd(fd); }

void KeepNewLoopFdsFrom(int fd) { table.least_new = fd; }

PipeEnds LastPipe() { return table.last_pipe; }

}  // namespace atfork::runtime

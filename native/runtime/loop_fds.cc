// loop_fds.cc - see loop_fds.h.
// Runs in:  the watchers on any thread of the runtime; SnapshotLoopFds in the parent; ReplaceLoopFds in the child,
// where
//           it allocates nothing.
// Calls:    epoll_create1(2), epoll_ctl(2), eventfd(2), pipe2(2), dup3(2), proc(5) fdinfo.
// Locks:    `table.lock`, held for a few instructions inside the watchers only, whose threads are never parked there.
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
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "runtime/import_table.h"
#include "runtime/loop_rings.h"

namespace atfork::runtime {
namespace {

struct EpollSet {
  int fd;
  pthread_t maker;  // 0: older than this addon
};

// Process-wide: descriptors are the process's.
struct Table {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  std::vector<EpollSet> epoll_sets;  // oldest first
  std::vector<int> event_fds;
  std::vector<PipeEnds> pipes;        // of every thread
  std::vector<PipeEnds> other_pipes;  // of threads other than the main one
  PipeEnds last_pipe = {-1, -1};
  int (*epoll_create1)(int);
  int (*eventfd)(unsigned, int);
  int (*pipe2)(int*, int);
  long (*syscall)(long, ...);
};
Table table;

class Locked {
 public:
  Locked() { pthread_mutex_lock(&table.lock); }
  ~Locked() { pthread_mutex_unlock(&table.lock); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
};

bool OnMainThread() { return syscall(SYS_gettid) == getpid(); }

template <typename T, typename Predicate>
void EraseIf(std::vector<T>* values, Predicate predicate) {
  values->erase(std::remove_if(values->begin(), values->end(), predicate), values->end());
}

// The number has a new meaning.
void ForgetFd(int fd) {
  const auto is_fd = [fd](int known) { return known == fd; };
  const auto has_fd = [fd](const PipeEnds& pipe) { return pipe.read_end == fd || pipe.write_end == fd; };
  EraseIf(&table.epoll_sets, [fd](const EpollSet& set) { return set.fd == fd; });
  EraseIf(&table.event_fds, is_fd);
  EraseIf(&table.pipes, has_fd);
  EraseIf(&table.other_pipes, has_fd);
}

int WatchedEpollCreate1(int flags) {
  const int fd = table.epoll_create1(flags);
  if (fd >= 0) {
    const Locked locked;
    ForgetFd(fd);
    table.epoll_sets.push_back({fd, pthread_self()});
  }
  return fd;
}

int WatchedEventfd(unsigned count, int flags) {
  const int fd = table.eventfd(count, flags);
  if (fd >= 0) {
    const Locked locked;
    ForgetFd(fd);
    table.event_fds.push_back(fd);
  }
  return fd;
}

int WatchedPipe2(int* ends, int flags) {
  const int result = table.pipe2(ends, flags);
  if (result == 0) {
    const Locked locked;
    ForgetFd(ends[0]);
    ForgetFd(ends[1]);
    table.last_pipe = {ends[0], ends[1]};
    table.pipes.push_back(table.last_pipe);
    if (!OnMainThread()) table.other_pipes.push_back(table.last_pipe);
  }
  return result;
}

// libuv makes this system call by syscall(2). The arguments that a call does not have are passed on as they come.
long WatchedSyscall(long number, long a, long b, long c, long d, long e, long f) {
  long result = 0;
  if (AnswerForRing(number, a, b, &result)) return result;
  return table.syscall(number, a, b, c, d, e, f);
}

// What one descriptor becomes in the child.
struct Replacement {
  enum Kind { kEventFd, kPipe, kDead } kind;
  int fd;
  int write_end;     // kPipe
  uint64_t count;    // kEventFd
  int status_flags;  // kEventFd: EFD_NONBLOCK | EFD_SEMAPHORE
};
struct Registration {
  int epoll_fd;
  int fd;
  struct epoll_event event;
};

// Forking thread only; filled in the parent, read in the child.
struct Snapshot {
  std::vector<int> epoll_fds;
  std::vector<Registration> registrations;
  std::vector<Replacement> replacements;
  std::vector<int> event_fds;
};
Snapshot snapshot;

// Reads a small file of /proc into `buffer`, terminated; false when it is not there.
bool ReadProc(const char* directory, int fd, std::vector<char>* buffer) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/%s/%d", directory, fd);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  size_t length = 0;
  buffer->resize(4096);
  for (;;) {
    if (buffer->size() - length < 2) buffer->resize(buffer->size() * 2);
    const ssize_t got = read(file, buffer->data() + length, buffer->size() - length - 1);
    if (got <= 0) break;
    length += static_cast<size_t>(got);
  }
  close(file);
  (*buffer)[length] = '\0';
  return true;
}

bool LinkIs(int fd, const char* expected) {
  char path[64], target[64];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(path, target, sizeof target);
  return length == static_cast<ssize_t>(std::strlen(expected)) &&
         std::memcmp(target, expected, std::strlen(expected)) == 0;
}

bool IsReplaced(int fd) {
  for (const Replacement& known : snapshot.replacements) {
    if (known.fd == fd) return true;
  }
  return false;
}

bool AddEventFd(int fd, std::vector<char>* buffer) {
  if (!ReadProc("fdinfo", fd, buffer)) return false;
  const char* count = std::strstr(buffer->data(), "eventfd-count:");
  if (count == nullptr) return false;
  int flags = (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 ? EFD_NONBLOCK : 0;
  if (std::strstr(buffer->data(), "eventfd-semaphore: 1") != nullptr) flags |= EFD_SEMAPHORE;
  const uint64_t value = std::strtoull(count + sizeof "eventfd-count:" - 1, nullptr, 16);
  snapshot.replacements.push_back({Replacement::kEventFd, fd, -1, value, flags});
  snapshot.event_fds.push_back(fd);
  return true;
}

void AddRegistered(int fd, std::vector<char>* buffer) {
  if (IsReplaced(fd) || AddEventFd(fd, buffer)) return;
  for (const PipeEnds& pipe : table.pipes) {
    if (pipe.read_end != fd) continue;
    snapshot.replacements.push_back({Replacement::kPipe, fd, pipe.write_end, 0, 0});
    return;
  }
  snapshot.replacements.push_back({Replacement::kDead, fd, -1, 0, 0});
}

// proc(5): "tfd: 17 events: 19 data: 11", numbers in hexadecimal but the first.
void ReadRegistrations(int epoll_fd, const char* text) {
  for (const char* line = std::strstr(text, "tfd:"); line != nullptr; line = std::strstr(line + 4, "tfd:")) {
    Registration registration = {epoll_fd, 0, {}};
    uint32_t events = 0;
    uint64_t data = 0;
    if (std::sscanf(line, "tfd: %d events: %" SCNx32 " data: %" SCNx64, &registration.fd, &events, &data) != 3)
      continue;
    registration.event.events = events;
    registration.event.data.u64 = data;
    snapshot.registrations.push_back(registration);
  }
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
        table.pipes.push_back({reader.fd, writer.fd});
    }
  }
}

int MoveTo(int from, int to) {
  if (from < 0) return errno;
  if (from == to) return 0;
  const int result = dup3(from, to, O_CLOEXEC) < 0 ? errno : 0;
  close(from);
  return result;
}

int Replace(const Replacement& replacement, int dead) {
  switch (replacement.kind) {
    case Replacement::kEventFd: {
      const int fd = eventfd(static_cast<unsigned>(replacement.count), replacement.status_flags | EFD_CLOEXEC);
      return MoveTo(fd, replacement.fd);
    }
    case Replacement::kPipe: {
      int ends[2];
      if (table.pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return errno;
      const int first = MoveTo(ends[0], replacement.fd);
      const int second = MoveTo(ends[1], replacement.write_end);
      return first != 0 ? first : second;
    }
    case Replacement::kDead:
      return dup3(dead, replacement.fd, O_CLOEXEC) < 0 ? errno : 0;
  }
  return 0;
}

}  // namespace

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

  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return Error::Errno("opendir", "load");
  std::vector<int> fds;
  while (const struct dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.' && std::atoi(entry->d_name) != dirfd(directory))
      fds.push_back(std::atoi(entry->d_name));
  }
  closedir(directory);
  const Locked locked;
  for (const int fd : fds) {
    if (LinkIs(fd, "anon_inode:[eventpoll]")) table.epoll_sets.push_back({fd, 0});
    if (LinkIs(fd, "anon_inode:[eventfd]")) table.event_fds.push_back(fd);
  }
  LearnPipes(fds);
  return LearnLoopRings(fds);
}

int EventLoops() {
  const Locked locked;
  return static_cast<int>(table.epoll_sets.size());
}

bool IsInnerLoop(int epoll_fd, pthread_t thread) {
  bool has_older = false;
  for (const EpollSet& set : table.epoll_sets) {
    if (set.maker != thread) continue;
    if (set.fd == epoll_fd) return has_older;
    has_older = has_older || LinkIs(set.fd, "anon_inode:[eventpoll]");
  }
  return false;
}

Status SnapshotLoopFds(int own_epoll_fd, int own_event_fd) {
  snapshot.epoll_fds.clear();
  snapshot.registrations.clear();
  snapshot.replacements.clear();
  snapshot.event_fds.clear();
  // What was closed since, or is somebody else's by now, is forgotten.
  EraseIf(&table.epoll_sets, [](const EpollSet& set) { return !LinkIs(set.fd, "anon_inode:[eventpoll]"); });
  EraseIf(&table.event_fds, [](int fd) { return !LinkIs(fd, "anon_inode:[eventfd]"); });
  std::vector<char> buffer;
  for (const EpollSet& set : table.epoll_sets) {
    if (set.fd == own_epoll_fd || !ReadProc("fdinfo", set.fd, &buffer)) continue;
    snapshot.epoll_fds.push_back(set.fd);
    ReadRegistrations(set.fd, buffer.data());
  }
  for (const Registration& registration : snapshot.registrations) AddRegistered(registration.fd, &buffer);
  // A loop that has not run yet has registered nothing.
  for (const int fd : table.event_fds) {
    if (fd != own_event_fd && !IsReplaced(fd)) AddEventFd(fd, &buffer);
  }
  for (const PipeEnds& pipe : table.other_pipes) {
    struct stat status;
    const bool open = fstat(pipe.read_end, &status) == 0 && S_ISFIFO(status.st_mode);
    if (open && !IsReplaced(pipe.read_end)) {
      snapshot.replacements.push_back({Replacement::kPipe, pipe.read_end, pipe.write_end, 0, 0});
    }
  }
  return Unit{};
}

int ReplaceLoopFds() {
  // A read end whose write end stays open and silent: never readable, never writable.
  int silent[2];
  if (table.pipe2(silent, O_NONBLOCK | O_CLOEXEC) != 0) return errno;
  int failure = PrivatizeLoopRings();
  for (const Replacement& replacement : snapshot.replacements) {
    const int error = Replace(replacement, silent[0]);
    if (error != 0) failure = error;
  }
  for (const int epoll_fd : snapshot.epoll_fds) {
    const int error = MoveTo(epoll_create1(EPOLL_CLOEXEC), epoll_fd);
    if (error != 0) failure = error;
  }
  for (Registration& registration : snapshot.registrations) {
    // EPERM: a regular file, which no epoll set takes; it cannot have been in one.
    if (epoll_ctl(registration.epoll_fd, EPOLL_CTL_ADD, registration.fd, &registration.event) != 0) failure = errno;
  }
  close(silent[0]);  // its duplicates keep the pipe; the write end stays open for as long as the child lives
  return failure;
}

const std::vector<int>& LoopEventFds() { return snapshot.event_fds; }

PipeEnds LastPipe() { return table.last_pipe; }

}  // namespace atfork::runtime

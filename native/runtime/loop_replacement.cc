// loop_replacement.cc - see loop_replacement.h.
// Runs in:  SnapshotLoopFds in the parent; the rest in the child, its only thread.
// Calls:    epoll_create1(2), epoll_ctl(2), eventfd(2), pipe2(2), timerfd_create(2), socketpair(2), dup3(2), open(2),
// lseek(2); proc(5) fd, fdinfo.
//           What is called here is libc's, not the watched import.
#include "runtime/loop_replacement.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "child/confine.h"
#include "posix/fd.h"
#include "posix/range_set.h"
#include "runtime/loop_fds.h"
#include "runtime/loop_rings.h"
#include "runtime/roll_call.h"

namespace atfork::runtime {
namespace {

// What one descriptor becomes in the child.
struct Replacement {
  enum Kind { kEventFd, kPipe, kOwnFile, kEnded, kDead } kind;
  int fd;
  int write_end;     // kPipe
  uint64_t count;    // kEventFd; kOwnFile: the offset
  int status_flags;  // kEventFd: EFD_NONBLOCK | EFD_SEMAPHORE
};
struct Registration {
  int epoll_fd;
  int fd;
  struct epoll_event event;
};

// Forking thread only; filled in the parent, used up in the child.
struct Snapshot {
  std::vector<int> epoll_fds;
  std::vector<Registration> registrations;
  std::vector<Replacement> replacements;
  std::vector<bool> replaced;  // by number
  RangeSet confined;           // what confined threads may use
  int first_new = 0;           // no descriptor of the parent has this number or a higher one
};
Snapshot snapshot;

// ConfineToLoopFds adds some.
constexpr size_t kMostRanges = child::kMaxConfinedRanges - 32;

std::string FdInfoPath(int fd) { return "/proc/self/fdinfo/" + std::to_string(fd); }

// Null, or the call that failed, with its errno: ENOENT of either when the descriptor is not open.
const char* TryReadFdInfo(const std::string& path, std::vector<char>* buffer) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return "open";
  ssize_t got = 0;
  size_t length = 0;
  buffer->resize(4096);
  do {
    if (buffer->size() - length < 2) buffer->resize(buffer->size() * 2);
    got = read(file.get(), buffer->data() + length, buffer->size() - length - 1);
    if (got > 0) length += static_cast<size_t>(got);
  } while (got > 0);
  if (got < 0) return "read";
  (*buffer)[length] = '\0';
  return nullptr;
}

// False when it has been closed. A thread of an addon may close it, and open a file of that number, between one call
// here and the next: so a number that is open and has no file in proc(5) is looked at again, and is an error if it
// stays so.
Result<bool> ReadFdInfo(int fd, std::vector<char>* buffer) {
  constexpr int kMostTries = 100;
  const std::string path = FdInfoPath(fd);
  const char* failed = nullptr;
  int error = ENOENT;
  for (int tries = 0; error == ENOENT && tries < kMostTries; ++tries) {
    failed = TryReadFdInfo(path, buffer);
    if (failed == nullptr) return true;
    error = errno;
    if (fcntl(fd, F_GETFD) < 0) return false;
  }
  return Error{error, failed, "fork", nullptr, path + ", of another thread's event loop"};
}

bool IsReplaced(int fd) {
  const auto number = static_cast<size_t>(fd);
  return number < snapshot.replaced.size() && snapshot.replaced[number];
}

void Confine(int fd) { snapshot.confined.Add(static_cast<uintptr_t>(fd), static_cast<uintptr_t>(fd) + 1); }

void Add(const Replacement& replacement) {
  const auto number = static_cast<size_t>(replacement.fd);
  if (number >= snapshot.replaced.size()) snapshot.replaced.resize(std::max(number + 1, 2 * snapshot.replaced.size()));
  snapshot.replaced[number] = true;
  snapshot.replacements.push_back(replacement);
}

// Nothing to be read: the count is 0, and reading it from proc(5), which takes longer, can be left out.
bool IsIdle(int fd) {
  struct pollfd waiting = {fd, POLLIN, 0};
  return poll(&waiting, 1, 0) == 0;
}

// True when it was one.
Result<bool> AddEventFd(int fd, std::vector<char>* buffer) {
  if (IsPlainEventFd(fd) && FdLinkIs(fd, kEventFdLink) && IsIdle(fd)) {
    const int flags = (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 ? EFD_NONBLOCK : 0;
    Add({Replacement::kEventFd, fd, -1, 0, flags});
    Confine(fd);
    return true;
  }
  Result<bool> read = ReadFdInfo(fd, buffer);
  if (!read || !read.value()) return read;
  const char* count = std::strstr(buffer->data(), "eventfd-count:");
  if (count == nullptr) {
    if (!FdLinkIs(fd, kEventFdLink)) return false;
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "fork", FdInfoPath(fd) + " does not tell an eventfd's count");
  }
  int flags = (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 ? EFD_NONBLOCK : 0;
  if (std::strstr(buffer->data(), "eventfd-semaphore: 1") != nullptr) flags |= EFD_SEMAPHORE;
  if ((flags & EFD_SEMAPHORE) == 0) NotePlainEventFd(fd);
  Add({Replacement::kEventFd, fd, -1, std::strtoull(count + sizeof "eventfd-count:" - 1, nullptr, 16), flags});
  Confine(fd);
  return true;
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

// True when it was one.
Result<bool> AddEpollSet(int fd, std::vector<char>* buffer) {
  Result<bool> read = ReadFdInfo(fd, buffer);
  if (!read || !read.value()) return read;
  const size_t before = snapshot.registrations.size();
  ReadRegistrations(fd, buffer->data());
  if (snapshot.registrations.size() == before && !FdLinkIs(fd, kEpollLink)) return false;
  snapshot.epoll_fds.push_back(fd);
  return true;
}

// Not one of datagrams (c-ares connects those too), which have no end.
bool IsConnection(int fd) {
  int type = 0;
  socklen_t length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM) return false;
  struct sockaddr_storage peer;
  length = sizeof peer;
  return getpeername(fd, reinterpret_cast<struct sockaddr*>(&peer), &length) == 0;
}

// Of threads that go on in the child as they are.
std::vector<int> LoopsThatGoOn(const KnownLoopFds& known) {
  std::vector<int> sets;
  for (const ParkedThread* thread : Participants()) {
    if (thread->role != ThreadRole::kRuntime || thread->state.load() != ParkState::kParked) continue;
    const auto descriptor = static_cast<pthread_t>(thread->descriptor);
    if (thread->position.epoll_fd >= 0) NoteLoopUser(descriptor, thread->position.epoll_fd);
    for (const EpollSet& set : known.epoll_sets) {
      if (set.maker == descriptor) sets.push_back(set.fd);
    }
  }
  return sets;
}

// Reading of it fails only at its end, or when nothing has come: libuv aborts on anything else.
Status AddRegistered(int fd, bool goes_on, const std::vector<PipeEnds>& pipes, std::vector<char>* buffer) {
  if (IsReplaced(fd)) return Unit{};
  const auto pipe = std::lower_bound(pipes.begin(), pipes.end(), fd,
                                     [](const PipeEnds& candidate, int number) { return candidate.read_end < number; });
  if (pipe != pipes.end() && pipe->read_end == fd) {
    Add({Replacement::kPipe, fd, pipe->write_end, 0, 0});
    Confine(pipe->write_end);
  } else {
    Result<bool> added = AddEventFd(fd, buffer);
    if (!added) return added.error();
    if (added.value()) return Unit{};
    Add({goes_on && IsConnection(fd) ? Replacement::kEnded : Replacement::kDead, fd, -1, 0, 0});
  }
  Confine(fd);
  return Unit{};
}

// libuv aborts when it cannot read a file of the kernel's that it has opened (uv_cpu_info). A Worker may do so, at the
// place where the parent's own stands: it gets the file opened anew.
Status AddKernelFiles() {
  Result<std::vector<int>> fds = ListOpenFds();
  if (!fds) return fds.error();
  for (const int fd : fds.value()) {
    snapshot.first_new = std::max(snapshot.first_new, fd + 1);
    struct statfs system;
    struct stat status;
    if (IsReplaced(fd) || fstatfs(fd, &system) != 0) continue;
    if (system.f_type != PROC_SUPER_MAGIC && system.f_type != SYSFS_MAGIC) continue;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) continue;
    const off_t offset = lseek(fd, 0, SEEK_CUR);
    if (offset < 0) continue;
    Add({Replacement::kOwnFile, fd, -1, static_cast<uint64_t>(offset), 0});
    Confine(fd);
  }
  return Unit{};
}

int MoveTo(int from, int to) {
  if (from < 0) return errno;
  if (from == to) return 0;
  const int result = dup3(from, to, O_CLOEXEC) < 0 ? errno : 0;
  close(from);
  return result;
}

// One that cannot be opened again stays the parent's, and out of reach for confined threads.
int ReopenFile(int fd, off_t offset) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0 || lseek(file, offset, SEEK_SET) != offset) {
    if (file >= 0) close(file);
    snapshot.confined.Remove(static_cast<uintptr_t>(fd), static_cast<uintptr_t>(fd) + 1);
    return 0;
  }
  return MoveTo(file, fd);
}

// What replaces what, by numbers.
struct Stand {
  int dead;   // never readable, never writable
  int ended;  // a connection whose other end has been closed
};

int Replace(const Replacement& replacement, const Stand& stand) {
  switch (replacement.kind) {
    case Replacement::kEventFd: {
      const int fd = eventfd(static_cast<unsigned>(replacement.count), replacement.status_flags | EFD_CLOEXEC);
      return MoveTo(fd, replacement.fd);
    }
    case Replacement::kPipe: {
      int ends[2];
      if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return errno;
      const int first = MoveTo(ends[0], replacement.fd);
      const int second = MoveTo(ends[1], replacement.write_end);
      return first != 0 ? first : second;
    }
    case Replacement::kOwnFile:
      return ReopenFile(replacement.fd, static_cast<off_t>(replacement.count));
    case Replacement::kEnded:
      return dup3(stand.ended, replacement.fd, O_CLOEXEC) < 0 ? errno : 0;
    case Replacement::kDead:
      return dup3(stand.dead, replacement.fd, O_CLOEXEC) < 0 ? errno : 0;
  }
  return 0;
}

}  // namespace

Status SnapshotLoopFds(int own_epoll_fd, int own_event_fd, bool workers) {
  snapshot = Snapshot();
  const KnownLoopFds& known = LoopFds();
  std::vector<char> buffer;
  std::vector<int> gone;
  for (const EpollSet& set : known.epoll_sets) {
    if (set.fd == own_epoll_fd) continue;
    Result<bool> added = AddEpollSet(set.fd, &buffer);
    if (!added) return added.error();
    if (!added.value()) gone.push_back(set.fd);
  }
  const std::vector<int> kept = LoopsThatGoOn(known);
  for (const Registration& registration : snapshot.registrations) {
    const bool goes_on = std::find(kept.begin(), kept.end(), registration.epoll_fd) != kept.end();
    Status added = AddRegistered(registration.fd, goes_on, known.pipes, &buffer);
    if (!added) return added;
  }
  // A loop that has not run yet has registered nothing.
  for (const int fd : known.event_fds) {
    if (fd == own_event_fd || IsReplaced(fd)) continue;
    Result<bool> added = AddEventFd(fd, &buffer);
    if (!added) return added.error();
    if (!added.value()) gone.push_back(fd);
  }
  for (const int fd : gone) ForgetLoopFd(fd);
  for (const PipeEnds& pipe : PipesOfOthers()) {
    if (IsReplaced(pipe.read_end)) continue;
    Add({Replacement::kPipe, pipe.read_end, pipe.write_end, 0, 0});
    Confine(pipe.write_end);
    // A signal pipe; uv_spawn reads from one that blocks.
    if ((fcntl(pipe.read_end, F_GETFL) & O_NONBLOCK) != 0) Confine(pipe.read_end);
  }
  if (!workers) return Unit{};
  Status added = AddKernelFiles();
  if (!added) return added;
  if (snapshot.confined.ranges().size() <= kMostRanges) return Unit{};
  return Error{EMFILE, "", "fork", nullptr, "the descriptors of other threads' event loops lie too far apart"};
}

int ReplaceLoopFds() {
  // A timer that is never set: never readable, never writable, and there is no other end to be kept.
  const UniqueFd silent(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!silent) return errno;
  int ended[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ended) != 0) return errno;
  close(ended[1]);
  int failure = PrivatizeLoopRings();
  for (const Replacement& replacement : snapshot.replacements) {
    const int error = Replace(replacement, {silent.get(), ended[0]});
    if (failure == 0) failure = error;
  }
  for (const int epoll_fd : snapshot.epoll_fds) {
    const int error = MoveTo(epoll_create1(EPOLL_CLOEXEC), epoll_fd);
    if (failure == 0) failure = error;
  }
  for (Registration& registration : snapshot.registrations) {
    // EPERM: a regular file, which no epoll set takes; it cannot have been in one.
    const bool added = epoll_ctl(registration.epoll_fd, EPOLL_CTL_ADD, registration.fd, &registration.event) == 0;
    if (!added && failure == 0) failure = errno;
  }
  close(ended[0]);
  return failure;
}

bool ConfineToLoopFds(std::initializer_list<int> others) {
  for (const int fd : others) {
    if (fd >= 0) Confine(fd);
  }
  // A Worker knows of no number that its process did not have at the fork, but for the wake-ups of loops that have been
  // made since.
  KeepNewLoopFdsFrom(snapshot.first_new);
  snapshot.confined.Add(static_cast<uintptr_t>(snapshot.first_new), static_cast<uintptr_t>(INT_MAX) + 1);
  std::vector<child::FdRange> ranges;
  for (const AddressRange& range : snapshot.confined.ranges()) {
    ranges.push_back({static_cast<int>(range.begin), static_cast<int>(range.end - 1)});
  }
  return child::SetConfinedFds(ranges.data(), static_cast<int>(ranges.size()));
}

}  // namespace atfork::runtime

// loop_rings.cc - see loop_rings.h.
// Runs in:  LearnLoopRings in the parent; PrivatizeLoopRings in the child, its only thread; AnswerForRing on whichever
//           thread runs a loop, none of which runs another's.
// Calls:    io_uring_setup(2), once, to learn the layout; private_copy; epoll_ctl(2). proc(5): maps, fd.
// Rests on: io_uring(7). libuv src/unix/linux.c: a loop's ring is not polled by the kernel, knows one operation
//           (IORING_OP_EPOLL_CTL), uses the entries in turn, and is told of them and waited for in one
//           io_uring_enter(2). Its two mappings exist for as long as its descriptor is open.
#include "runtime/loop_rings.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "posix/every_child.h"
#include "posix/private_copy.h"

namespace atfork::runtime {
namespace {

struct Mapping {
  char* begin;
  size_t size;
};

struct Ring {
  dev_t device;
  ino_t inode;      // each ring has its own, on every kernel that libuv uses it on
  int fd;           // -1: not known
  bool alone;       // no other has that inode
  Mapping queues;   // struct io_rings
  Mapping entries;  // struct io_uring_sqe []
  bool is_private;
};

// Process-wide; written at load and in the child, by the main thread while no other runs.
struct State {
  struct io_sqring_offsets submitted;
  struct io_cqring_offsets completed;
  std::vector<Ring> rings;
};
State state;

unsigned* Word(const Ring& ring, uint32_t offset) { return reinterpret_cast<unsigned*>(ring.queues.begin + offset); }

// Where in the queues the kernel keeps what: the same for every ring.
Status LearnLayout() {
  struct io_uring_params parameters = {};
  const long fd = syscall(SYS_io_uring_setup, 1, &parameters);
  if (fd < 0) return Error::Errno("io_uring_setup", "load");
  close(static_cast<int>(fd));
  state.submitted = parameters.sq_off;
  state.completed = parameters.cq_off;
  return Unit{};
}

Ring* FindRing(dev_t device, ino_t inode) {
  for (Ring& ring : state.rings) {
    if (ring.device == device && ring.inode == inode) return &ring;
  }
  return nullptr;
}

// "7f81-7f82 rw-s 10000000 00:10 3054582    anon_inode:[io_uring]"
void AddMapping(const char* line) {
  uintptr_t begin, end;
  uint64_t offset, inode;
  unsigned major, minor;
  const char* const format = "%" SCNxPTR "-%" SCNxPTR " %*s %" SCNx64 " %x:%x %" SCNu64;
  if (std::sscanf(line, format, &begin, &end, &offset, &major, &minor, &inode) != 6) return;
  Ring* ring = FindRing(makedev(major, minor), inode);
  if (ring == nullptr) {
    state.rings.push_back({makedev(major, minor), inode, -1, true, {}, {}, false});
    ring = &state.rings.back();
  }
  Mapping& place = offset == IORING_OFF_SQES ? ring->entries : ring->queues;
  ring->alone = ring->alone && place.begin == nullptr;
  place = {reinterpret_cast<char*>(begin), end - begin};
}

// Its loop has not been closed since.
bool IsThere(const Ring& ring) {
  struct stat status;
  return ring.alone && ring.fd >= 0 && ring.queues.begin != nullptr && ring.entries.begin != nullptr &&
         fstat(ring.fd, &status) == 0 && status.st_dev == ring.device && status.st_ino == ring.inode;
}

// Does what is queued, as the kernel would, and returns how much that was.
long Perform(const Ring& ring, unsigned count) {
  auto* const entries = reinterpret_cast<const struct io_uring_sqe*>(ring.entries.begin);
  auto* const results = reinterpret_cast<struct io_uring_cqe*>(ring.queues.begin + state.completed.cqes);
  unsigned* const head = Word(ring, state.submitted.head);
  unsigned* const tail = Word(ring, state.completed.tail);
  for (unsigned i = 0; i < count; ++i) {
    const struct io_uring_sqe& entry = entries[(*head)++ & *Word(ring, state.submitted.ring_mask)];
    int result = -EINVAL;
    if (entry.opcode == IORING_OP_EPOLL_CTL) {
      auto* const event = reinterpret_cast<struct epoll_event*>(entry.addr);
      const int fd = static_cast<int>(entry.off);
      result = epoll_ctl(entry.fd, static_cast<int>(entry.len), fd, event) == 0 ? 0 : -errno;
    }
    struct io_uring_cqe& answer = results[(*tail)++ & *Word(ring, state.completed.ring_mask)];
    answer.user_data = entry.user_data;
    answer.res = result;
    answer.flags = 0;
  }
  return count;
}

}  // namespace

Status LearnLoopRings(const std::vector<int>& fds) {
  std::FILE* const maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) return Error::Errno("fopen", "load");
  char line[512];
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    if (std::strstr(line, "anon_inode:[io_uring]") != nullptr) AddMapping(line);
  }
  std::fclose(maps);
  if (state.rings.empty()) return Unit{};
  for (const int fd : fds) {
    struct stat status;
    Ring* const ring = fstat(fd, &status) == 0 ? FindRing(status.st_dev, status.st_ino) : nullptr;
    if (ring != nullptr) ring->fd = fd;
  }
  return LearnLayout();
}

int PrivatizeLoopRings() {
  for (Ring& ring : state.rings) {
    if (ring.is_private || !IsThere(ring)) continue;
    int error = ReplaceByPrivateCopy(ring.queues.begin, ring.queues.size);
    if (error == 0) error = ReplaceByPrivateCopy(ring.entries.begin, ring.entries.size);
    if (error != 0) return error;
    // The parent may have been writing meanwhile. Nothing is under way here: no loop is inside its ring at a fork.
    *Word(ring, state.submitted.tail) = *Word(ring, state.submitted.head);
    *Word(ring, state.completed.tail) = *Word(ring, state.completed.head);
    ring.is_private = true;
  }
  return 0;
}

ATFORK_IN_EVERY_CHILD bool AnswerForRing(long number, long first_argument, long second_argument, long* result) {
  if (number == SYS_io_uring_setup) {
    errno = ENOSYS;
    *result = -1;
    return true;
  }
  if (number != SYS_io_uring_enter) return false;
  for (const Ring& ring : state.rings) {
    if (ring.fd != first_argument || !ring.is_private) continue;
    *result = Perform(ring, static_cast<unsigned>(second_argument));
    return true;
  }
  return false;
}

}  // namespace atfork::runtime

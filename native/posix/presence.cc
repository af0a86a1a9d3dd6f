// presence.cc - which threads of which processes are there still; see presence.h.
// Runs in:  any thread, either side of a fork; Reopen in the child handler.
// Calls:    open(2), close(2), pwrite(2), fcntl(2) F_OFD_SETLK and F_OFD_GETLK; in TakeName F_OFD_SETLKW.
// Allocates: an Error, when Open fails. Keeps errno but for Open and Take.
#include "posix/presence.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "posix/shared_page.h"

namespace atfork {
namespace {

// No threads' tids: the highest is 2^22.
constexpr pid_t kUsers = 0;
constexpr pid_t kName = 1 << 30;

struct flock ByteOf(pid_t tid, short type) {
  struct flock lock = {};  // l_pid has to be 0
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(SharedPage::kSize) + tid;
  lock.l_len = 1;
  return lock;
}

}  // namespace

Status Presence::Open(int data) {
  if (fd_ >= 0) return Unit{};
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", data);
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return Error::Errno("open", "shared lock");
  struct flock users = ByteOf(kUsers, F_RDLCK);
  if (fcntl(fd, F_OFD_SETLK, &users) == 0) {
    fd_ = fd;
    return Unit{};
  }
  const int errnum = errno == EAGAIN || errno == EACCES ? EBUSY : errno;
  close(fd);
  return Error::Errno("fcntl", "shared lock", errnum);
}

void Presence::Reopen(int data) {
  const int saved = errno;
  const int parents = std::exchange(fd_, -1);
  if (parents < 0) return;
  static_cast<void>(Open(data));  // if it fails, the next use tries again
  close(parents);
  errno = saved;
}

void Presence::Close() {
  const int saved = errno;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  errno = saved;
}

Presence::Claim Presence::Take(pid_t tid) {
  struct flock lock = ByteOf(tid, F_WRLCK);
  if (fcntl(fd_, F_OFD_SETLK, &lock) == 0) return Claim::kMine;
  return errno == EAGAIN || errno == EACCES ? Claim::kAnothers : Claim::kFailed;
}

void Presence::Give(pid_t tid) {
  const int saved = errno;
  struct flock lock = ByteOf(tid, F_UNLCK);
  fcntl(fd_, F_OFD_SETLK, &lock);
  errno = saved;
}

bool Presence::TakeAlone(int data) {
  struct flock users = ByteOf(kUsers, F_WRLCK);
  return fcntl(data, F_OFD_SETLK, &users) == 0;
}

bool Presence::TakeName(int data) {
  struct flock name = ByteOf(kName, F_WRLCK);
  int result;
  do {
    result = fcntl(data, F_OFD_SETLKW, &name);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

bool Presence::IsTaken(int data, pid_t tid) {
  const int saved = errno;
  struct flock lock = ByteOf(tid, F_WRLCK);
  // Where nobody can tell, nobody is declared dead.
  const bool taken = fcntl(data, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
  errno = saved;
  return taken;
}

void Presence::Ring(off_t offset) {
  const int saved = errno;
  const char byte = 0;
  const ssize_t ignored = pwrite(fd_, &byte, 1, offset);
  static_cast<void>(ignored);
  errno = saved;
}

}  // namespace atfork

// fd.h - a file descriptor that closes itself.
// Runs in:  any thread, the parent or a complete child.
// Calls:    close(2). Never retried: on Linux the descriptor is gone even after EINTR (close(2), NOTES).
#ifndef ATFORK_POSIX_FD_H_
#define ATFORK_POSIX_FD_H_

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace atfork {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

  // Keeps errno: the descriptor usually goes while an error is on its way out.
  void reset(int fd = -1) {
    const int saved = errno;
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
    errno = saved;
  }

 private:
  int fd_ = -1;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_FD_H_

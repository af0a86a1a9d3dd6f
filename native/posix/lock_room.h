// lock_room.h - memory for locks, side by side: every fork writes to every lock, and copies each page that one lies in.
// What forks leave alone, names for one, is elsewhere.
//
// Runs in:  any thread. What was taken stays.
#ifndef ATFORK_POSIX_LOCK_ROOM_H_
#define ATFORK_POSIX_LOCK_ROOM_H_

#include <atomic>
#include <cstddef>

namespace atfork {

inline constexpr size_t kPage = 4096;

template <size_t kSize>
class LockRoom {
 public:
  constexpr LockRoom() = default;
  LockRoom(const LockRoom&) = delete;
  LockRoom& operator=(const LockRoom&) = delete;

  // `size` bytes, a multiple of 8; null: there is no more room.
  void* Take(size_t size) {
    const size_t at = used_.fetch_add(size);
    return at + size <= kSize ? bytes_ + at : nullptr;
  }

 private:
  std::atomic<size_t> used_{0};
  alignas(8) char bytes_[kSize] = {};
};

}  // namespace atfork

#endif  // ATFORK_POSIX_LOCK_ROOM_H_

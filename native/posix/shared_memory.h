// shared_memory.h - memory that a process shares with the children it forks. See shared_memory.cc.
#ifndef ATFORK_POSIX_SHARED_MEMORY_H_
#define ATFORK_POSIX_SHARED_MEMORY_H_

#include <atomic>
#include <cstddef>

#include "posix/result.h"
#include "posix/short_lock.h"
#include "posix/thread_identity.h"

namespace atfork {

class SharedMemory {
 public:
  constexpr SharedMemory() = default;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // Zeroed; there as long as some process has it mapped.
  Result<void*> Map(size_t size, const ThreadIdentity& self);
  void Unmap(void* memory, size_t size);
  // From now on it is not the main thread's.
  void Disown(const void* memory);
  // Whether a mapping begins there that was made for the main thread.
  bool IsMainThreads(const void* memory);
  // Child handler.
  void EnterChild() { lock_.Reset(); }

 private:
  // Never freed; an address of null: nobody's now.
  struct Entry {
    std::atomic<void*> memory{nullptr};
    Entry* next = nullptr;
  };

  ShortLock lock_;
  std::atomic<Entry*> first_{nullptr};
};

}  // namespace atfork

#endif  // ATFORK_POSIX_SHARED_MEMORY_H_

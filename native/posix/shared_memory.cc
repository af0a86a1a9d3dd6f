// shared_memory.cc - memory that a process shares with the children it forks.
// Runs in:  any thread; EnterChild in the child handler.
// Calls:    mmap(2) MAP_SHARED | MAP_ANONYMOUS, munmap(2). MAP_NORESERVE is not asked for: what has been promised is
// there,
//           or the call fails with ENOMEM, and no process is killed by a write to it later.
#include "posix/shared_memory.h"

#include <sys/mman.h>

#include <new>

namespace atfork {

Result<void*> SharedMemory::Map(size_t size, const ThreadIdentity& self) {
  void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Error::Errno("mmap", "shared memory");
  if (self.tid != self.pid) return memory;
  const ShortLock::Guard guard(&lock_);
  Entry* entry = first_.load();
  while (entry != nullptr && entry->memory.load() != nullptr) entry = entry->next;
  if (entry == nullptr) {
    entry = new (std::nothrow) Entry;
    if (entry == nullptr) return memory;  // as if it were not the main thread's
    entry->next = first_.load();
    first_ = entry;
  }
  entry->memory = memory;
  return memory;
}

void SharedMemory::Unmap(void* memory, size_t size) {
  Disown(memory);
  munmap(memory, size);
}

void SharedMemory::Disown(const void* memory) {
  const ShortLock::Guard guard(&lock_);
  for (Entry* each = first_.load(); each != nullptr; each = each->next) {
    if (each->memory.load() == memory) each->memory = nullptr;
  }
}

bool SharedMemory::IsMainThreads(const void* memory) {
  const ShortLock::Guard guard(&lock_);
  for (const Entry* each = first_.load(); each != nullptr; each = each->next) {
    if (each->memory.load() == memory) return true;
  }
  return false;
}

}  // namespace atfork

// heap_mappings.cc - see heap_mappings.h.
// Runs in:  the watchers on any thread of the runtime, inside V8's allocator: they must not call back into V8.
//           Include and Restore on the forking thread, with every other runtime thread parked; Restore in the child
//           before any of them runs again.
// Calls:    madvise(2) MADV_DOFORK, MADV_DONTFORK; proc(5) smaps.
// Locks:    `watch.lock` is taken by the watchers for the set alone, not for the system call, so that threads give back
//           memory side by side as they would without us; and by the forking thread over the fork. A thread inside a
//           watcher is parked at its end at most (gate.h): so nobody can own the lock in the child but the forking
//           thread, and the set and the marks agree.
#include "runtime/heap_mappings.h"

#include <stdarg.h>
#include <sys/mman.h>

#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <iterator>

#include "posix/fork_lock.h"
#include "posix/range_set.h"
#include "runtime/gate.h"
#include "runtime/import_table.h"

namespace atfork::runtime {
namespace {

// Process-wide: V8's mappings are the process's, whichever Worker made them.
struct Watch {
  ForkLock lock;
  RangeSet marked;
  std::atomic<bool> learned{false};
  int (*madvise)(void*, size_t, int);
  int (*munmap)(void*, size_t);
  void* (*mmap)(void*, size_t, int, int, int, off_t);
  void* (*mremap)(void*, size_t, size_t, int, ...);
};
Watch watch;

uintptr_t Address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

// What has been noted may not be so: the next fork reads the marks anew.
void NoteFailure() { watch.learned.store(false, std::memory_order_relaxed); }

// Noted before the call. A range that loses its marks may be somebody else's right after it; one that gets them is
// missing in the child of a fork right after it. No thread of the runtime is parked in between.
void WillUnmark(const void* start, size_t length) {
  const ForkLock::Guard guard(&watch.lock);
  if (!guard.entered()) return NoteFailure();
  watch.marked.Remove(Address(start), Address(start) + length);
}
void WillMark(const void* start, size_t length) {
  const ForkLock::Guard guard(&watch.lock);
  if (!guard.entered()) return NoteFailure();
  watch.marked.Add(Address(start), Address(start) + length);
}

int WatchedMadvise(void* start, size_t length, int advice) {
  if (advice == MADV_DONTFORK) WillMark(start, length);
  if (advice == MADV_DOFORK) WillUnmark(start, length);
  const int result = watch.madvise(start, length, advice);
  if (result != 0 && (advice == MADV_DONTFORK || advice == MADV_DOFORK)) NoteFailure();
  PassGate();
  return result;
}

int WatchedMunmap(void* start, size_t length) {
  WillUnmark(start, length);
  const int result = watch.munmap(start, length);
  if (result != 0) NoteFailure();
  PassGate();
  return result;
}

void* WatchedMmap(void* start, size_t length, int protection, int flags, int fd, off_t offset) {
  const bool replaces = (flags & MAP_FIXED) != 0;
  if (replaces) WillUnmark(start, length);
  void* result = watch.mmap(start, length, protection, flags, fd, offset);
  if (replaces && result == MAP_FAILED) NoteFailure();
  PassGate();
  return result;
}

void* WatchedMremap(void* old_start, size_t old_length, size_t new_length, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  void* fixed = (flags & MREMAP_FIXED) != 0 ? va_arg(rest, void*) : nullptr;
  va_end(rest);
  // The mark travels with the mapping. V8 moves only file-backed pages of its builtins, which carry none.
  WillUnmark(old_start, old_length);
  if (fixed != nullptr) WillUnmark(fixed, new_length);
  void* result = watch.mremap(old_start, old_length, new_length, flags, fixed);
  if (result == MAP_FAILED) NoteFailure();
  PassGate();
  return result;
}

// Adds the private anonymous mappings whose VmFlags say "dc" (do not copy on fork).
Status ReadMarks(RangeSet* marked) {
  FILE* smaps = std::fopen("/proc/self/smaps", "re");
  if (smaps == nullptr) return Error::Errno("open", "heap");
  char line[512];
  AddressRange mapping = {0, 0};
  bool anonymous = false;
  while (std::fgets(line, sizeof line, smaps) != nullptr) {
    // A field's name may begin like a number ("AnonHugePages"), so nothing is kept of a line that does not match whole.
    AddressRange range;
    char permissions[5];
    unsigned long inode = 0;
    if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*s %lu", &range.begin, &range.end, permissions, &inode) ==
        4) {
      mapping = range;
      anonymous = permissions[3] == 'p' && inode == 0;
    } else if (std::strncmp(line, "VmFlags:", 8) == 0 && anonymous && std::strstr(line, " dc") != nullptr) {
      marked->Add(mapping.begin, mapping.end);
    }
  }
  std::fclose(smaps);
  return Unit{};
}

void AdviseAll(int advice) {
  // A range whose middle has gone meanwhile is still advised on both sides of the hole; ENOMEM says no more than that.
  for (const AddressRange& range : watch.marked.ranges()) {
    watch.madvise(reinterpret_cast<void*>(range.begin), range.end - range.begin, advice);
  }
}

}  // namespace

Status WatchHeapMappings() {
  watch.madvise = madvise;
  watch.munmap = munmap;
  watch.mmap = mmap;
  watch.mremap = mremap;
  const ImportReplacement imports[] = {
      {"madvise", reinterpret_cast<void*>(WatchedMadvise), reinterpret_cast<void**>(&watch.madvise)},
      {"munmap", reinterpret_cast<void*>(WatchedMunmap), reinterpret_cast<void**>(&watch.munmap)},
      {"mmap64", reinterpret_cast<void*>(WatchedMmap), reinterpret_cast<void**>(&watch.mmap)},
      {"mremap", reinterpret_cast<void*>(WatchedMremap), reinterpret_cast<void**>(&watch.mremap)},
  };
  return ReplaceImports(imports, std::size(imports));
}

Status LearnHeapMappings() {
  if (watch.learned.load(std::memory_order_relaxed)) return Unit{};
  const ForkLock::Guard guard(&watch.lock);
  watch.marked = RangeSet();
  Status read = ReadMarks(&watch.marked);
  watch.learned.store(read.ok(), std::memory_order_relaxed);
  return read;
}

void IncludeHeapMappings() {
  watch.lock.LockForFork();
  AdviseAll(MADV_DOFORK);
}

void RestoreHeapMappings() {
  AdviseAll(MADV_DONTFORK);
  watch.lock.UnlockAfterFork();
}

}  // namespace atfork::runtime

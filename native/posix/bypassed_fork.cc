// bypassed_fork.cc - whether this process was made past the at-fork handlers.
//
// A mark that the kernel wipes in every child, and the child handler (EnterChild) sets again: where it is missing, no
// handler has run. It costs a fork one mapping, and its child one write. A child that shares its parent's memory, as
// those of vfork(2) and posix_spawn(3) do, shares the mark too, and is none: its locks are the parent's.
//
// What no mark can mend: a ShortLock that another thread was inside of at that very instant, for its few instructions.
//
// Runs in:  MakeForkMark in the loader; IsBypassedFork on any thread, where it would have to wait, never before that.
// Calls:    mmap(2), madvise(2) with MADV_WIPEONFORK (Linux 4.14). IsBypassedFork: none. Allocates: a page.
#include "posix/bypassed_fork.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

#include "posix/process_state.h"

namespace atfork {

ForkMark* MakeForkMark() {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* const memory = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  if (madvise(memory, page, MADV_WIPEONFORK) != 0) {
    munmap(memory, page);
    return nullptr;
  }
  return new (memory) ForkMark(1);
}

bool IsBypassedFork() {
  const ForkMark* const mark = GetProcessState()->fork_mark;
  if (mark == nullptr || mark->load(std::memory_order_relaxed) != 0) return false;
  // In the child of a fork(2), handlers of others may come before the one that sets it.
  return ThisThread().forks_under_way == 0;
}

}  // namespace atfork

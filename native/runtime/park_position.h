// park_position.h - may a thread that was interrupted here be held over a fork?
//
// A thread that comes along in the child need not be idle; it only must not stand where fork() itself, or libc in the
// child, would miss it: inside libc (malloc, stdio, the loader's locks are taken by fork(3) or re-initialised under
// it), inside any other shared object (a preloaded allocator has locks and fork handlers too), or inside a system call
// that does something and that the kernel would restart in both processes. What is left: the program counter in the
// runtime's own code or in code made at run time (V8's), or an interrupted system call that waits.
//
// Async-signal-safe after Update(): runs in the handler of the thread itself.
#ifndef ATFORK_RUNTIME_PARK_POSITION_H_
#define ATFORK_RUNTIME_PARK_POSITION_H_

#include <signal.h>
#include <ucontext.h>

#include <cstdint>
#include <string>

#include "runtime/import_table.h"

namespace atfork::runtime {

enum class ThreadRole : uint8_t {
  kRuntime,     // V8 workers, the delayed-task thread, the inspector's: brought back in the child
  kJsWorker,    // brought back, confined, and ended
  kPoolThread,  // libuv's pool: parked only in a system call that waits; see pool_rest.h
};

// Where a thread stands.
struct Position {
  bool may_park;
  bool waits;          // may_park is false, and it will not come out of there by itself
  const char* reason;  // static: why not, or what it waits in
  int epoll_fd = -1;   // if it waits in epoll_wait(2), in this set
  bool ends = false;   // in the child it is not to go on
};

// A system call that a thread stands in.
struct SystemCall {
  bool present;
  bool restarts;  // interrupted, and the kernel will make it again; else it has returned EINTR
  long number;    // -1 when the machine does not keep it
  uintptr_t arguments[4];
};

// The one that a signal handler has interrupted; not `present` when it has interrupted none.
SystemCall InterruptedCall(const ucontext_t& context);

// Has the interrupted call return -1 with `error` rather than be made again; one that has returned EINTR stays so.
void FailInterruptedCall(ucontext_t* context, int error);

// Whether the call is that of a condition variable's waiter; its first argument lies inside that.
bool WaitsOnCondition(const SystemCall& call);

// Whether the call waits for somebody else, with no lock of libc's held meanwhile.
bool WaitsForOthers(const SystemCall& call);

// Whether the call opens a file: that waits when the file is a FIFO. Whether it does, only the thread can tell: a
// call that is interrupted was waiting.
bool MayWaitToOpen(const SystemCall& call);

// What the positions are judged against: which addresses are shared objects, and which of those hold data that locks
// may lie in. Parent, forking thread, before each fork (libraries come and go).
class LoadedModules {
 public:
  void Update();
  bool IsLibraryCode(uintptr_t address) const;
  bool IsLibraryData(uintptr_t address) const { return IsLibraryCode(address); }
  bool IsRuntimeData(uintptr_t address) const { return runtime_.Contains(address); }
  // The file name of the module that holds the address, of one that cannot have been unloaded since; empty when there
  // is none. Not async-signal-safe, but takes no lock of the loader's.
  std::string NameOf(uintptr_t address) const;

 private:
  static constexpr int kMax = 512;
  ModuleSpan runtime_ = {};
  ModuleSpan libraries_[kMax];
  const char* runtime_path_ = nullptr;
  const char* paths_[kMax];  // the loader's; empty for the main program
  int count_ = 0;
  bool overflow_ = false;
};

Position JudgePosition(const ucontext_t& context, ThreadRole role, const LoadedModules& modules);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_PARK_POSITION_H_

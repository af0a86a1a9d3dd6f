// thread_census.h - every kernel thread of this process: who it is and what code it was started to run.
//
// Three layers, each usable alone:
//   ForEachThread, ReadThread   allocate nothing and take no lock: fit for the moment before a fork
//   FindModule                  takes the dynamic loader's lock
//   ListThreads                 the listing behind JavaScript's threads()
// See thread_census.cc.
#ifndef ATFORK_POSIX_THREAD_CENSUS_H_
#define ATFORK_POSIX_THREAD_CENSUS_H_

#include <limits.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "posix/fd.h"
#include "posix/result.h"
#include "posix/thread_layout.h"

namespace atfork {

// The shared object (or the main program) that holds an address.
struct ModuleRef {
  uintptr_t begin = 0;  // the executable segment, 0 when nothing holds the address
  uintptr_t end = 0;
  bool is_program = false;       // the main program itself; it has no name here
  char name[NAME_MAX + 1] = {};  // file name without folders, e.g. "libstdc++.so.6"
};

struct ThreadRecord {
  pid_t tid = 0;
  char name[16] = {};           // comm, NUL-terminated
  char state = 0;               // proc(5): R, S, D, T, t, Z, X, I
  bool is_ending = false;       // on its way out: it runs no code of this process any more
  bool is_kernel_s = false;     // started by io_uring(7): it never runs any
  uintptr_t pd = 0;             // its struct pthread; 0 when unknown or not a thread of libc
  uintptr_t start_routine = 0;  // 0 when unknown; the main thread has none
  ModuleRef module;             // of start_routine; filled in by ListThreads only
};

// /proc/self/task, open. A forked child must open its own: an inherited one goes on listing the parent's threads.
Result<UniqueFd> OpenTaskDirectory();

// Calls `visit` with each thread id, the caller's own included, until it returns false. One pass: a thread that starts
// or ends meanwhile may be missed, so who needs an exact set repeats until two passes agree.
// The fd's offset is used: one pass at a time per fd.
Status ForEachThread(int task_fd, bool (*visit)(pid_t tid, void* context), void* context);

// Fills name and state, and with a layout pd and start_routine. False when the thread has ended.
bool ReadThread(int task_fd, pid_t tid, const ThreadLayout* layout, ThreadRecord* record);

ModuleRef FindModule(uintptr_t address);

// The main program's file name, which the loader does not know; empty when it cannot be read. Allocates.
std::string ProgramName();

// What a thread is for, and what becomes of it in a forked child. Both strings have static storage, and are those of
// ThreadInfo in lib/census/threads.ts.
struct ThreadClass {
  const char* kind;
  const char* after_fork;
};
using ThreadClassifier = ThreadClass (*)(const ThreadRecord& record);

// main, runtime (started by the main program's code) or foreign; a fork(2) alone keeps but the caller's thread.
ThreadClass ClassifyByModule(const ThreadRecord& record);

// Whoever brings threads back after a fork knows better. Process-wide; any thread may call threads() meanwhile.
void SetThreadClassifier(ThreadClassifier classifier);

struct ThreadListing {
  ThreadRecord record;
  std::string module;  // file name; empty when unknown
  ThreadClass what;
};
Result<std::vector<ThreadListing>> ListThreads();

}  // namespace atfork

#endif  // ATFORK_POSIX_THREAD_CENSUS_H_

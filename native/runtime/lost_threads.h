// lost_threads.h - which threads a fork loses that may hold a lock, or are in the middle of something.
//
// A JavaScript Worker comes along in the child to be ended; a thread of libuv's pool in a system call, to give its
// request up; of any other library's nothing is there. V8's and Node's own go on, and are none of them.
#ifndef ATFORK_RUNTIME_LOST_THREADS_H_
#define ATFORK_RUNTIME_LOST_THREADS_H_

#include <optional>
#include <string>
#include <vector>

#include "posix/result.h"
#include "posix/thread_census.h"

namespace atfork::runtime {

// A thread that is not to be counted: whatever is given here is as it says.
struct ThreadPattern {
  std::optional<std::string> kind;
  std::optional<std::string> module;
  std::optional<std::string> name;
};

struct LostThreadsOptions {
  bool look = false;       // else nothing is done
  bool refuse = false;     // no fork if there are any
  bool count_all = false;  // every thread beside the forking one
  std::vector<ThreadPattern> allowed;
};

// Main thread, before others are parked.
void PrepareLostThreads(const LostThreadsOptions& options);

// Main thread, after Quiesce: finds them, as they are now and will be at the fork. ERR_ATFORK_MULTITHREADED when there
// are any and `options` refuse.
Status NoteLostThreads(const LostThreadsOptions& options);

// As of the last NoteLostThreads, but for those that the options allow.
const std::vector<ThreadListing>& LostThreads();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_LOST_THREADS_H_

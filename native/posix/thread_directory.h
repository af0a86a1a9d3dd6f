// thread_directory.h - the threads that have to do with locks, by their token: who they are, and what they wait for.
//
// A thread is in it from its first use of a lock to its end. The child of a fork starts with the forking thread alone.
//
// Runs in:  any thread, either side of a fork; Reset and LeaveOthersBehind in the child handler.
// Calls:    nothing. Allocates: no; a entry lies in the thread-local storage of its thread.
#ifndef ATFORK_POSIX_THREAD_DIRECTORY_H_
#define ATFORK_POSIX_THREAD_DIRECTORY_H_

#include <atomic>
#include <cstdint>

#include "posix/short_lock.h"
#include "posix/thread_identity.h"

namespace atfork {

class Lock;
struct LoopWaker;

// What a lock tells of its owner.
struct ThreadDescription {
  static constexpr int kLabelSize = 16;  // bytes, UTF-8, the last one 0: as long as the kernel's names of threads

  pid_t pid = 0;
  pid_t tid = 0;           // 0: not known
  int32_t thread_id = -1;  // worker_threads' threadId; -1: a thread that runs no JavaScript
  char label[kLabelSize] = {};
};

struct ThreadEntry {
  ThreadIdentity identity;
  // Written under the directory's lock, by its own thread.
  int32_t thread_id = -1;
  char label[ThreadDescription::kLabelSize] = {};
  // The lock that this thread is asleep for; null when it is not.
  std::atomic<const Lock*> waits_for{nullptr};
  // This thread takes every lock for a fork, and gives those back again that others wait for.
  std::atomic<bool> forks{false};
  // Those of its event loop; its own thread's alone.
  LoopWaker* wakers = nullptr;
  ThreadEntry* next = nullptr;
};

class ThreadDirectory {
 public:
  constexpr ThreadDirectory() = default;
  ThreadDirectory(const ThreadDirectory&) = delete;
  ThreadDirectory& operator=(const ThreadDirectory&) = delete;

  void Add(ThreadEntry* entry);
  void Remove(ThreadEntry* entry);
  // The calling thread's. `label` is cut to what there is room for.
  void Name(ThreadEntry* entry, int32_t thread_id, const char* label);

  // False: no such thread, or it has ended.
  bool Describe(uint32_t token, ThreadDescription* description);
  // What the thread is asleep for; null when it is awake or not there. `forks`: see ThreadEntry.
  const Lock* AwaitedBy(uint32_t token, bool* forks = nullptr);

  void Reset() { lock_.Reset(); }
  void LeaveOthersBehind(ThreadEntry* self);

 private:
  ThreadEntry* Find(uint32_t token) const;

  ShortLock lock_;
  // A child may have been copied in the middle of a change: each is one store, which leaves a whole list.
  std::atomic<ThreadEntry*> first_{nullptr};
};

}  // namespace atfork

#endif  // ATFORK_POSIX_THREAD_DIRECTORY_H_

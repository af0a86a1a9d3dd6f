// thread_identity.h - who a thread is to the locks, and to which process it belongs. A plain record: one per thread,
// written by its own thread only. process_state.h hands it out.
#ifndef ATFORK_POSIX_THREAD_IDENTITY_H_
#define ATFORK_POSIX_THREAD_IDENTITY_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace atfork {

struct ThreadEntry;

struct ThreadIdentity {
  // Names this thread in lock words. Even, never reused, and not a tid: the thread that forks keeps its token in the
  // child, where its tid is another one, so what it held it can still release. kNoToken: there was none left to give.
  uint32_t token = 0;
  // How many forks lie between the process that loaded this library and the one that this thread belongs to. The thread
  // that forks moves on with its child. A thread that was brought back to life in the child, only to be ended there,
  // keeps the number of its parent, and the locks know it by that.
  uint32_t generation = 0;
  pid_t pid = 0;
  pid_t tid = 0;
  // Which at-fork handlers the fork under way on this thread is about: AtForkList::Begin.
  uint32_t fork = 0;
  // How many forks are under way on this thread: those of handlers are inside of one another.
  uint32_t forks_under_way = 0;
  // The innermost is our own fork(), and its handlers have prepared.
  bool own_fork = false;
  // How many sections that no fork may fall into this thread has entered, one inside the other; see ForkPermit.
  uint32_t fork_sections = 0;
  // What others may look up of it (thread_directory.h); null for one that is in no directory.
  ThreadEntry* entry = nullptr;
};

// JavaScript reads these two (lib/internal/lock-words.ts).
static_assert(offsetof(ThreadIdentity, token) == 0 && offsetof(ThreadIdentity, generation) == 4);

// The owner's part of a lock word has this many bits: a process runs out of tokens after 134 million threads.
inline constexpr uint32_t kTokenMask = (1u << 28) - 1;
inline constexpr uint32_t kNoToken = kTokenMask - 1;
// In place of the lowest bit of a token: not the thread itself holds the lock but a guard of its event loop's.
inline constexpr uint32_t kLoopOwner = 1;
inline constexpr uint32_t kNoGeneration = UINT32_MAX;

}  // namespace atfork

#endif  // ATFORK_POSIX_THREAD_IDENTITY_H_

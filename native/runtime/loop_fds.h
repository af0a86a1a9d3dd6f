// loop_fds.h - which descriptors are event loops' own.
//
// libuv keeps the numbers of its epoll sets, eventfds and signal pipes to itself, so they are learned from the
// runtime's own calls (epoll_create1, eventfd, pipe2) through its import slots, and from /proc/self/fd for what is
// older than this addon. What a fork makes of them: loop_replacement.h.
#ifndef ATFORK_RUNTIME_LOOP_FDS_H_
#define ATFORK_RUNTIME_LOOP_FDS_H_

#include <pthread.h>

#include <vector>

#include "posix/result.h"

namespace atfork::runtime {

struct EpollSet {
  int fd;
  pthread_t maker;  // 0: older than this addon; -1: it has ended
};

struct PipeEnds {
  int read_end;
  int write_end;
};

struct KnownLoopFds {
  std::vector<EpollSet> epoll_sets;  // oldest first
  std::vector<int> event_fds;
  std::vector<PipeEnds> pipes;  // of every thread, by their reading ends
};

// Learns what exists and begins to watch. Main thread, once, at load.
Status WatchLoopFds();

// How many event loops there are, the main thread's included.
int EventLoops();

// Whether `thread` has made a loop inside another and not closed it yet. child_process.spawnSync does so: a thread that
// is in there waits for a child process of the parent, and could not be ended in the child. Main thread, that thread
// parked.
bool HasInnerLoop(pthread_t thread);

// Whether `thread` made the loop with this epoll set, or may have: it is older than this addon. Any thread.
bool MayHaveMadeLoop(pthread_t thread, int epoll_fd);

// `thread` waits in that set: for one that is older than this addon, it is its maker. Forking thread, locked.
void NoteLoopUser(pthread_t thread, int epoll_fd);

// The calling thread ends without having closed its loops: another may get its pthread_t.
void DisownLoops();

// Forking thread: nobody else makes a loop from here on, until both the parent and the child have unlocked.
void LockLoopFds();
void UnlockLoopFds();

// Forking thread, locked: what has been made and, as far as is known, not been closed; the reader finds out. Pipes that
// were closed since, or whose numbers are somebody else's by now, are forgotten.
const KnownLoopFds& LoopFds();
// Of its pipes, those that were made by others than the main thread.
const std::vector<PipeEnds>& PipesOfOthers();

// The pipe that the runtime has made last since LockLoopFds, or {-1, -1} (libuv makes its signal lock pipe anew in its
// own fork handler).
PipeEnds LastPipe();

// Forking thread, locked: whether this is known to be an eventfd that is no semaphore. Which it is, is in none of its
// flags.
bool IsPlainEventFd(int fd);
void NotePlainEventFd(int fd);

// Forking thread, locked: the number has got another meaning, by ways that are not watched.
void ForgetLoopFd(int fd);

// Child: loops that are made from here on get eventfds and pipes of this number or a higher one.
void KeepNewLoopFdsFrom(int fd);

// All that are open, but for the one that reads the list. Allocates.
Result<std::vector<int>> ListOpenFds();

// What proc(5) says `fd` is: "anon_inode:[eventfd]".
bool FdLinkIs(int fd, const char* expected);
inline constexpr char kEpollLink[] = "anon_inode:[eventpoll]";
inline constexpr char kEventFdLink[] = "anon_inode:[eventfd]";

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_LOOP_FDS_H_

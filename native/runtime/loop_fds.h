// loop_fds.h - gives the event loops of other threads descriptors of their own in the child.
//
// An epoll set, an eventfd and a pipe are shared over fork(2) (and an io_uring; see loop_rings.h): a loop that goes on
// in the child on the inherited ones would take the parent's wake-ups, read its sockets and remove its registrations.
// So before those threads run again in the child, each such descriptor is replaced by a new one under the same number:
//   epoll sets  a new set with the same registrations;
//   eventfds    a new eventfd with the same count (a wake-up that was under way is kept);
//   pipes       both ends of libuv's signal pipes, new;
//   the rest    (sockets, files, inotify) a descriptor that never becomes ready: what belongs to a thread that ends in
//               the child belongs to the parent.
// The main thread's loop is not touched here: uv_loop_fork(3) renews it.
//
// libuv keeps these numbers to itself, so they are learned from the runtime's own calls (epoll_create1, eventfd, pipe2)
// through its import slots, and from /proc/self/fd for what is older than this addon.
#ifndef ATFORK_RUNTIME_LOOP_FDS_H_
#define ATFORK_RUNTIME_LOOP_FDS_H_

#include <pthread.h>

#include <vector>

#include "posix/result.h"

namespace atfork::runtime {

// Learns what exists and begins to watch. Main thread, once, at load.
Status WatchLoopFds();

// How many event loops there are, the main thread's included.
int EventLoops();

// Whether `epoll_fd` is that of a loop that `thread` runs inside another (child_process.spawnSync does): a thread that
// is in there waits for a child process of the parent, and could not be ended in the child. Main thread, that thread
// parked.
bool IsInnerLoop(int epoll_fd, pthread_t thread);

// Parent, forking thread, every other thread of the runtime parked: reads what is registered where. The forking
// thread's own set and wake-up stay out.
Status SnapshotLoopFds(int own_epoll_fd, int own_event_fd);

// Child, forking thread, before any other thread runs: replaces what the snapshot holds. Returns 0 or an errno.
int ReplaceLoopFds();

// The eventfds of the snapshot: what a thread that ends may still write to.
const std::vector<int>& LoopEventFds();

// The pipe that the runtime made last (libuv makes its signal lock pipe anew in its own fork handler).
struct PipeEnds {
  int read_end;
  int write_end;
};
PipeEnds LastPipe();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_LOOP_FDS_H_

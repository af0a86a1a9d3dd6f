// loop_replacement.h - gives the event loops of other threads descriptors of their own in the child.
//
// An epoll set, an eventfd and a pipe are shared over fork(2) (and an io_uring; see loop_rings.h): a loop that goes on
// in the child on the inherited ones would take the parent's wake-ups, read its sockets and remove its registrations.
// So before those threads run again in the child, each such descriptor is replaced by a new one under the same number:
//   epoll sets  a new set with the same registrations;
//   eventfds    a new eventfd with the same count (a wake-up that was under way is kept);
//   pipes       both ends of libuv's signal pipes, new;
//   the rest    (sockets, files, inotify) a descriptor that never becomes ready: what belongs to a thread that ends in
//               the child belongs to the parent. Connections of a thread that goes on, the inspector's to a debugger,
//               have come to their end instead: else a child would wait for the debugger when it leaves.
// The main thread's loop is not touched here: uv_loop_fork(3) renews it.
#ifndef ATFORK_RUNTIME_LOOP_REPLACEMENT_H_
#define ATFORK_RUNTIME_LOOP_REPLACEMENT_H_

#include <initializer_list>

#include "posix/result.h"

namespace atfork::runtime {

// Parent, forking thread, the loop descriptors locked and every other thread of the runtime parked: reads what is
// registered where. The forking thread's own set and wake-up stay out. `workers`: whether there will be confined
// threads in the child. An error when it cannot be learned, or is more than such a thread can be confined to.
Status SnapshotLoopFds(int own_epoll_fd, int own_event_fd, bool workers);

// Child, forking thread, before any other thread runs: replaces what the snapshot holds. Returns 0 or an errno.
int ReplaceLoopFds();

// Child, with Workers, after that: confined threads may use what was replaced, `others` (-1 is none), and what loops
// are made from here on. False: too many.
[[nodiscard]] bool ConfineToLoopFds(std::initializer_list<int> others);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_LOOP_REPLACEMENT_H_

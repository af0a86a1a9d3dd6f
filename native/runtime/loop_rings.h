// loop_rings.h - no two processes write into one io_uring.
//
// libuv (1.49 and later) has an io_uring for each event loop, to batch epoll_ctl(2) calls. Its queues are memory that a
// child shares with its parent. The main thread's loop gets rid of it in the child (uv_loop_fork(3)), but there are
// others: that of the delayed tasks, and Node's tracing agent's, which is run once more at every exit. Two processes of
// one family that exit at the same moment would both write there, and abort.
//
// So no loop gets a ring while this addon is loaded (io_uring_setup(2) answers ENOSYS; libuv does without), and in a
// child the queues of those that are older become private memory. What is put there is done here.
#ifndef ATFORK_RUNTIME_LOOP_RINGS_H_
#define ATFORK_RUNTIME_LOOP_RINGS_H_

#include <vector>

#include "posix/result.h"

namespace atfork::runtime {

// Learns which of the open descriptors are rings. Main thread, once, at load.
Status LearnLoopRings(const std::vector<int>& fds);

// Child, forking thread, before any loop runs: makes them private. No allocation. 0 or an errno.
int PrivatizeLoopRings();

// A system call of the runtime's, any thread: true when it concerns a ring, and has been answered with `result` and
// errno.
bool AnswerForRing(long number, long first_argument, long second_argument, long* result);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_LOOP_RINGS_H_

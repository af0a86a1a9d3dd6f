// loop_batch.h - what the main loop has in hand at a fork. It has read it already, several at once, and goes through
// the rest when the callback that has forked returns. It is the parent's: in the child nothing may come of it.
#ifndef ATFORK_RUNTIME_LOOP_BATCH_H_
#define ATFORK_RUNTIME_LOOP_BATCH_H_

#include <uv.h>

#include <vector>

#include "posix/result.h"
#include "runtime/libuv_queue.h"

namespace atfork::runtime {

// Parent, the loop's thread, once: from here on it is known which finished requests to the pool the loop has in hand.
// Those that are under way are looked for on this stack.
Status WatchDeliveries(uv_loop_t* loop);

// Those, in a ring around each of these heads: more than one where a callback of one has turned the loop itself.
std::vector<QueueNode*> RequestsInHand(const uv_loop_t* loop);

// Parent, before the fork: whether it has signals in hand.
void NoteSignals(uv_loop_t* loop);

// Child, after uv_loop_fork(3): signals that were caught and have not been delivered, in hand or not.
void ForgetSignals(uv_loop_t* loop);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_LOOP_BATCH_H_

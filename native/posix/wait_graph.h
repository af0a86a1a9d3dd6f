// wait_graph.h - whether threads wait for each other in a circle.
//
// A thread that sleeps for a lock waits for its owner, who may sleep for another lock. Nobody but a thread itself ends
// its wait, so if the way leads back, none of them ever gets its lock. What an event loop holds, its flows give back,
// which may wait for whatever they like; but not while their thread sleeps.
//
// Runs in:  any thread that is in the queue of `wanted` and has said so in its entry. Calls, allocates: nothing.
#ifndef ATFORK_POSIX_WAIT_GRAPH_H_
#define ATFORK_POSIX_WAIT_GRAPH_H_

#include <cstdint>

#include "posix/thread_identity.h"

namespace atfork {

class Lock;

// A part of a circle: the thread that holds the lock, and waits for the next one.
struct CirclePart {
  const Lock* lock;
  uint32_t owner;  // its token
};

struct Circle {
  // A longer one is not looked for, and its threads wait until their deadlines.
  static constexpr int kMost = 16;

  CirclePart parts[kMost];
  int count = 0;
};

inline const CirclePart& LastOf(const Circle& circle) { return circle.parts[circle.count - 1]; }

// Whether `self`, by waiting for `wanted`, waits for itself. The first part is `wanted`, the last one a lock of `self`.
// A circle that leads through another thread that forks is none: that one gives way, or finds the circle itself.
bool ClosesCircle(const ThreadIdentity& self, const Lock* wanted, Circle* circle = nullptr);

}  // namespace atfork

#endif  // ATFORK_POSIX_WAIT_GRAPH_H_

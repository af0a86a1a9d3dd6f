// wait_graph.cc - whether threads wait for each other in a circle; see wait_graph.h.
// Runs in:  any thread. Calls, allocates: nothing.
#include "posix/wait_graph.h"

#include "posix/lock.h"
#include "posix/process_state.h"

namespace atfork {
namespace {

// What was seen one after the other need not have been so at one time. Backwards it does: `self` keeps what it holds
// while it is here, so who waits for that is stuck, and keeps what it holds in its turn.
bool Holds(const Circle& circle) {
  ThreadDirectory& threads = GetProcessState()->threads;
  for (int i = circle.count - 1; i > 0; --i) {
    if (circle.parts[i].lock->OwnerToken() != circle.parts[i].owner) return false;
    if (threads.AwaitedBy(circle.parts[i - 1].owner) != circle.parts[i].lock) return false;
  }
  return circle.parts[0].lock->OwnerToken() == circle.parts[0].owner;
}

}  // namespace

bool ClosesCircle(const ThreadIdentity& self, const Lock* wanted, Circle* circle) {
  Circle own;
  Circle& way = circle != nullptr ? *circle : own;
  way.count = 0;
  for (const Lock* lock = wanted; lock != nullptr && way.count < Circle::kMost;) {
    const uint32_t owner = lock->OwnerToken();
    if (owner == 0) return false;
    way.parts[way.count++] = {lock, owner};
    if ((owner & ~kLoopOwner) == self.token) return Holds(way);
    bool forks = false;
    lock = GetProcessState()->threads.AwaitedBy(owner, &forks);
    if (forks) return false;
  }
  return false;
}

}  // namespace atfork

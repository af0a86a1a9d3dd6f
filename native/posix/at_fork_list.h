// at_fork_list.h - the handlers that run around every fork, in order. It forks nothing itself.
//
// Order: a handler of low rank is outermost. Before the fork the lowest rank comes first and, within a rank, the last
// one registered; afterwards, on both sides, exactly the other way round. So a handler that takes a lock before the
// fork has it taken before the inner ones', as pthread_atfork(3) has it for a library and those it is built upon.
//
// Runs in:  prepare and parent on the forking thread of the parent, child on the only thread of the child.
// Calls:    the handlers, nothing else. Allocates nothing, takes no lock: several threads may add and fork at once.
#ifndef ATFORK_POSIX_AT_FORK_LIST_H_
#define ATFORK_POSIX_AT_FORK_LIST_H_

#include <atomic>
#include <cstdint>

namespace atfork {

// Each of the three may be null. They must leave errno to the hook, which keeps it, and must not throw.
struct AtForkHandler {
  int rank = 0;
  void (*prepare)(void* arg) = nullptr;
  void (*parent)(void* arg) = nullptr;
  void (*child)(void* arg) = nullptr;
  void* arg = nullptr;
};

class AtForkList {
 public:
  static constexpr uint32_t kCapacity = 32;

  constexpr AtForkList() = default;
  AtForkList(const AtForkList&) = delete;
  AtForkList& operator=(const AtForkList&) = delete;

  // `handler` stays in the list, and must stay in memory, for the life of the process. False: the list is full.
  // May be called by a handler: the new one takes part from the next fork on.
  bool Add(const AtForkHandler* handler);

  // Runs the prepare handlers. Returns how many handlers this fork is about, for the other two, so that a handler added
  // meanwhile does not get to see an end without a beginning.
  uint32_t RunPrepare() const;
  void RunParent(uint32_t limit) const;
  void RunChild(uint32_t limit) const;

 private:
  // Filled from the front, in order of registration; an entry never changes again.
  std::atomic<const AtForkHandler*> handlers_[kCapacity] = {};
};

}  // namespace atfork

#endif  // ATFORK_POSIX_AT_FORK_LIST_H_

// at_fork_list.h - the handlers that run around every fork, in order. It forks nothing itself.
//
// Order: a handler of low rank is outermost. Before the fork the lowest rank comes first and, within a rank, the last
// one registered; afterwards, on both sides, exactly the other way round. So a handler that takes a lock before the
// fork has it taken before the inner ones', as pthread_atfork(3) has it for a library and those it is built upon.
//
// A fork is about the handlers that are there when it begins: of each it runs either all that it has, or nothing,
// whatever is added and removed meanwhile.
//
// Runs in:  prepare and parent on the forking thread of the parent, child on the only thread of the child.
// Calls:    the handlers, nothing else. Allocates nothing, takes no lock: several threads may add and fork at once.
#ifndef ATFORK_POSIX_AT_FORK_LIST_H_
#define ATFORK_POSIX_AT_FORK_LIST_H_

#include <atomic>
#include <climits>
#include <cstdint>

namespace atfork {

// Each of the three may be null. They must leave errno to the hook, which keeps it, and must not throw.
struct AtForkHandler {
  int rank = 0;
  void (*prepare)(void* arg) = nullptr;
  void (*parent)(void* arg) = nullptr;
  void (*child)(void* arg) = nullptr;
  void* arg = nullptr;
  // The list's: from which of its changes on this is in it, 0 for not yet, and from which on no more.
  mutable std::atomic<uint32_t> added{0};
  mutable std::atomic<uint32_t> removed{UINT32_MAX};
};

// Those from the first to the last, both included.
struct Ranks {
  int first = INT_MIN;
  int last = INT_MAX;
};

class AtForkList {
 public:
  static constexpr uint32_t kCapacity = 256;

  constexpr AtForkList() = default;
  AtForkList(const AtForkList&) = delete;
  AtForkList& operator=(const AtForkList&) = delete;

  // `handler` must stay in memory for the life of the process. Returns its index; kCapacity: the list is full. May be
  // called by a handler: the new one takes part from the next fork on.
  uint32_t Add(const AtForkHandler* handler);
  // It takes part in no further fork; in those under way it still does. False: there is none, or no more.
  bool Remove(uint32_t index);

  // What the others are to be given: the handlers that are there now.
  uint32_t Begin() const { return changes_.load(); }
  void RunPrepare(uint32_t fork, Ranks ranks = {}) const;
  void RunParent(uint32_t fork, Ranks ranks = {}) const;
  void RunChild(uint32_t fork, Ranks ranks = {}) const;

 private:
  // Filled from the front, in order of registration; an entry never changes again.
  std::atomic<const AtForkHandler*> handlers_[kCapacity] = {};
  std::atomic<uint32_t> changes_{0};
};

}  // namespace atfork

#endif  // ATFORK_POSIX_AT_FORK_LIST_H_

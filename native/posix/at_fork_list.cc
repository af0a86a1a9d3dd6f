// at_fork_list.cc - see at_fork_list.h.
// Runs in:  around fork(2), on the forking thread; Add and Remove anywhere. Calls: the handlers only. Allocates: no.
// man:      pthread_atfork(3), for the order.
#include "posix/at_fork_list.h"

#include "posix/every_child.h"

namespace atfork {
namespace {

using Slot = std::atomic<const AtForkHandler*>;

// The handlers that a fork is about, in the order in which prepare runs them. Sorted anew for each pass, on its own
// stack: there are few of them, and a list that is kept sorted could not be added to while it runs.
class PrepareOrder {
 public:
  PrepareOrder(const Slot* slots, uint32_t fork, Ranks ranks) {
    for (uint32_t i = 0; i < AtForkList::kCapacity; ++i) {
      const AtForkHandler* const handler = slots[i].load(std::memory_order_acquire);
      if (handler == nullptr) break;
      const uint32_t added = handler->added.load();
      const bool takes_part = added != 0 && added <= fork && fork < handler->removed.load();
      if (takes_part && ranks.first <= handler->rank && handler->rank <= ranks.last) Insert(handler);
    }
  }
  uint32_t count() const { return count_; }
  const AtForkHandler& operator[](uint32_t index) const { return *sorted_[index]; }

 private:
  // Before its equals: within a rank, the last one registered is prepared first.
  void Insert(const AtForkHandler* handler) {
    uint32_t at = count_;
    for (; at > 0 && sorted_[at - 1]->rank >= handler->rank; --at) sorted_[at] = sorted_[at - 1];
    sorted_[at] = handler;
    ++count_;
  }

  const AtForkHandler* sorted_[AtForkList::kCapacity];
  uint32_t count_ = 0;
};

}  // namespace

uint32_t AtForkList::Add(const AtForkHandler* handler) {
  for (uint32_t i = 0; i < kCapacity; ++i) {
    const AtForkHandler* empty = nullptr;
    if (handlers_[i].compare_exchange_strong(empty, handler, std::memory_order_release, std::memory_order_relaxed)) {
      handler->added = ++changes_;
      return i;
    }
  }
  return kCapacity;
}

bool AtForkList::Remove(uint32_t index) {
  const AtForkHandler* const handler = index < kCapacity ? handlers_[index].load() : nullptr;
  uint32_t never = UINT32_MAX;
  return handler != nullptr && handler->removed.compare_exchange_strong(never, ++changes_);
}

void AtForkList::RunPrepare(uint32_t fork, Ranks ranks) const {
  const PrepareOrder order(handlers_, fork, ranks);
  for (uint32_t i = 0; i < order.count(); ++i) {
    if (order[i].prepare != nullptr) order[i].prepare(order[i].arg);
  }
}

void AtForkList::RunParent(uint32_t fork, Ranks ranks) const {
  const PrepareOrder order(handlers_, fork, ranks);
  for (uint32_t i = order.count(); i-- > 0;) {
    if (order[i].parent != nullptr) order[i].parent(order[i].arg);
  }
}

ATFORK_IN_EVERY_CHILD void AtForkList::RunChild(uint32_t fork, Ranks ranks) const {
  const PrepareOrder order(handlers_, fork, ranks);
  for (uint32_t i = order.count(); i-- > 0;) {
    if (order[i].child != nullptr) order[i].child(order[i].arg);
  }
}

}  // namespace atfork

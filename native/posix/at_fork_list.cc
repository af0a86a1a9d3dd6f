// at_fork_list.cc - see at_fork_list.h.
// Runs in:  around fork(2), on the forking thread; Add anywhere. Calls: the handlers only. Allocates: no.
// Returns:  Add is false when the list is full. man: pthread_atfork(3), for the order.
#include "posix/at_fork_list.h"

namespace atfork {
namespace {

using Slot = std::atomic<const AtForkHandler*>;

// The first `limit` handlers in the order in which prepare runs them. Sorted anew for each pass, on its own stack:
// there are few of them, and a list that is kept sorted could not be added to while it runs.
class PrepareOrder {
 public:
  PrepareOrder(const Slot* slots, uint32_t limit) {
    for (; count_ < limit; ++count_) Insert(slots[count_].load(std::memory_order_acquire));
  }
  uint32_t count() const { return count_; }
  const AtForkHandler& operator[](uint32_t index) const { return *sorted_[index]; }

 private:
  // Before its equals: within a rank, the last one registered is prepared first.
  void Insert(const AtForkHandler* handler) {
    uint32_t at = count_;
    for (; at > 0 && sorted_[at - 1]->rank >= handler->rank; --at) sorted_[at] = sorted_[at - 1];
    sorted_[at] = handler;
  }

  const AtForkHandler* sorted_[AtForkList::kCapacity];
  uint32_t count_ = 0;
};

}  // namespace

bool AtForkList::Add(const AtForkHandler* handler) {
  for (Slot& slot : handlers_) {
    const AtForkHandler* empty = nullptr;
    if (slot.compare_exchange_strong(empty, handler, std::memory_order_release, std::memory_order_relaxed)) return true;
  }
  return false;
}

uint32_t AtForkList::RunPrepare() const {
  uint32_t limit = 0;
  while (limit < kCapacity && handlers_[limit].load(std::memory_order_acquire) != nullptr) ++limit;
  const PrepareOrder order(handlers_, limit);
  for (uint32_t i = 0; i < order.count(); ++i) {
    if (order[i].prepare != nullptr) order[i].prepare(order[i].arg);
  }
  return limit;
}

void AtForkList::RunParent(uint32_t limit) const {
  const PrepareOrder order(handlers_, limit);
  for (uint32_t i = order.count(); i-- > 0;) {
    if (order[i].parent != nullptr) order[i].parent(order[i].arg);
  }
}

void AtForkList::RunChild(uint32_t limit) const {
  const PrepareOrder order(handlers_, limit);
  for (uint32_t i = order.count(); i-- > 0;) {
    if (order[i].child != nullptr) order[i].child(order[i].arg);
  }
}

}  // namespace atfork

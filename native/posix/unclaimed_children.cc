// unclaimed_children.cc - children that nobody waits for any more.
// Runs in:  any thread, either side of a fork. Not async-signal-safe. Allocates.
// Calls:    waitid(2), by way of ReapChild.
//
// A stack that is only ever taken as a whole, so that there is no ABA, and no lock that a fork could copy while it is
// held. What another thread has in hand at a fork is in no list of the child's, which is right.
#include "posix/unclaimed_children.h"

#include <atomic>
#include <memory>
#include <new>
#include <utility>

#include "posix/child_end.h"

namespace atfork {
namespace {

struct Unclaimed {
  pid_t pid;
  UniqueFd pidfd;
  Unclaimed* next;
};

std::atomic<Unclaimed*> unclaimed{nullptr};

void Push(Unclaimed* child) {
  child->next = unclaimed.load(std::memory_order_relaxed);
  while (!unclaimed.compare_exchange_weak(child->next, child, std::memory_order_release, std::memory_order_relaxed)) {
  }
}

// Calls `keeps` with each that there is.
template <typename Keeps>
void TakeAll(Keeps keeps) {
  Unclaimed* rest = unclaimed.exchange(nullptr, std::memory_order_acquire);
  while (rest != nullptr) {
    std::unique_ptr<Unclaimed> child(std::exchange(rest, rest->next));
    if (keeps(*child)) Push(child.release());
  }
}

}  // namespace

void AddUnclaimedChild(pid_t pid, UniqueFd pidfd) {
  auto* const child = new (std::nothrow) Unclaimed{pid, std::move(pidfd), nullptr};
  if (child != nullptr) Push(child);
}

void ReapUnclaimedChildren(pid_t claimed) {
  if (unclaimed.load(std::memory_order_relaxed) == nullptr) return;
  TakeAll([claimed](const Unclaimed& child) {
    if (child.pid == claimed) return false;
    const auto reaped = ReapChild(child.pid, child.pidfd.get());
    return reaped && !reaped.value().has_value();
  });
}

void ForgetUnclaimedChildren() {
  TakeAll([](const Unclaimed&) { return false; });
}

}  // namespace atfork

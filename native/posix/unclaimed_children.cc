// unclaimed_children.cc - children that nobody waits for any more.
// Runs in:  any thread, either side of a fork. Not async-signal-safe. Allocates.
// Calls:    waitid(2), by way of ReapChild.
//
// The unclaimed ones are a stack that is only ever taken as a whole, so that there is no ABA, and no lock around a
// system call. What another thread has in hand at a fork is in no list of the child's, which is right.
#include "posix/unclaimed_children.h"

#include <atomic>
#include <memory>
#include <new>
#include <utility>

#include "posix/child_end.h"
#include "posix/short_lock.h"

namespace atfork {
namespace {

// A child of fork() has its parent's claims until their environments end: no thread is parked while it holds the lock.
ShortLock claims_lock;
ClaimedChild* claims = nullptr;

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

bool IsClaimed(pid_t pid) {
  const ShortLock::Guard guard(&claims_lock);
  const ClaimedChild* claim = claims;
  while (claim != nullptr && claim->pid != pid) claim = claim->next_;
  return claim != nullptr;
}

ClaimedChild::ClaimedChild(pid_t its_pid) : pid(its_pid), link_(&claims) {
  const ShortLock::Guard guard(&claims_lock);
  next_ = claims;
  if (next_ != nullptr) next_->link_ = &next_;
  claims = this;
}

ClaimedChild::~ClaimedChild() {
  const ShortLock::Guard guard(&claims_lock);
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
}

void AddUnclaimedChild(pid_t pid, UniqueFd pidfd) {
  auto* const child = new (std::nothrow) Unclaimed{pid, std::move(pidfd), nullptr};
  if (child != nullptr) Push(child);
}

void ReapUnclaimedChildren() {
  if (unclaimed.load(std::memory_order_relaxed) == nullptr) return;
  TakeAll([](const Unclaimed& child) {
    if (IsClaimed(child.pid)) return false;
    const auto reaped = ReapChild(child.pid, child.pidfd.get());
    return reaped && !reaped.value().has_value();
  });
}

void ForgetUnclaimedChildren() {
  TakeAll([](const Unclaimed&) { return false; });
}

}  // namespace atfork

// child_ends.cc - tells an event loop that children may have ended.
// Runs in:  the loop's thread.
// Calls:    epoll_ctl(2) for pidfds, which become readable at the child's end: no thread and no signal. uv_poll_* on
// the
//           epoll set, once for all: a handle of libuv for each child would take longer than the rest of its start.
//           Where there is no pidfd, uv_signal_* for SIGCHLD: libuv shares that among all who ask for it, and waits for
//           its own children pid by pid, so nobody's are stolen. Allocates.
//           uv_check_* : who waits for an end hears of it after the loop has told of all else that it has seen with it,
//           as libuv does, so that what a program has written last comes before its end. And a turn later: a signal for
//           the whole process group (^C, kill(2) of a service) is this process's, too, and runs its handler when
//           epoll_wait(2) returns, too late for that turn. A program that restarts what has ended, unless it has been
//           told to end itself, has to hear of that first.
//
// A child of fork() has the parent's epoll set, not a copy of it: nothing may be taken out of that.
#include "runtime/child_ends.h"

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <vector>

namespace atfork::runtime {
namespace {

constexpr int kAtOnce = 32;

template <typename Handle>
uv_handle_t* AnyOf(Handle* handle) {
  return handle == nullptr ? nullptr : reinterpret_cast<uv_handle_t*>(&handle->handle);
}

}  // namespace

struct ChildEnds::Polled {
  uv_poll_t handle;
  UniqueFd set;
  ChildEnds* owner;
};

struct ChildEnds::Checked {
  uv_check_t handle;
  ChildEnds* owner;
  int turns;  // of the loop, since those of `ready` were
  epoll_event ready[kAtOnce];
  int count;
};

struct ChildEnds::Signaled {
  uv_signal_t handle;
  ChildEnds* owner;
};

template <typename Handle>
void ChildEnds::CloseHandle(Handle** handle) {
  if (*handle == nullptr) return;
  ++closing_;
  uv_close(AnyOf(*handle), [](uv_handle_t* closed) {
    auto* const self = static_cast<Handle*>(closed->data);
    ChildEnds* const owner = self->owner;
    delete self;
    --owner->closing_;
    owner->LeaveIfClosed();
  });
  *handle = nullptr;
}

void ChildEnds::LeaveIfClosed() {
  if (closed_ != nullptr && closing_ == 0) closed_(closed_arg_);
}

int ChildEnds::OpenChecked() {
  if (checked_ != nullptr) return 0;
  auto* const checked = new (std::nothrow) Checked{{}, this, 0, {}, 0};
  if (checked == nullptr) return ENOMEM;
  uv_check_init(loop_, &checked->handle);  // cannot fail
  uv_unref(AnyOf(checked));
  checked->handle.data = checked;
  checked_ = checked;
  return 0;
}

int ChildEnds::OpenPolled() {
  if (polled_ != nullptr) return 0;
  if (const int error = OpenChecked(); error != 0) return error;
  UniqueFd set(epoll_create1(EPOLL_CLOEXEC));
  if (!set) return errno;
  auto* const polled = new (std::nothrow) Polled{{}, std::move(set), this};
  if (polled == nullptr) return ENOMEM;
  int error = uv_poll_init(loop_, &polled->handle, polled->set.get());
  if (error != 0) {
    delete polled;
    return -error;
  }
  polled->handle.data = polled;
  polled_ = polled;
  error = uv_poll_start(&polled->handle, UV_READABLE, [](uv_poll_t* handle, int, int) {
    ChildEnds* const owner = static_cast<Polled*>(handle->data)->owner;
    // In a child of fork() its parent's children end, too, and there may be nobody who has asked for one here.
    owner->ForgetParents();
    if (owner->polled_ == nullptr) return;
    Checked* const checked = owner->checked_;
    if (uv_is_active(AnyOf(checked)) != 0) return;
    checked->turns = 0;
    checked->count = epoll_wait(owner->polled_->set.get(), checked->ready, kAtOnce, 0);
    uv_check_start(&checked->handle, [](uv_check_t* check) {
      auto* const checked = static_cast<Checked*>(check->data);
      // The set is still readable, so the next turn comes at once; and more of them, for those that are not told of
      // now.
      if (++checked->turns < 2) return;
      uv_check_stop(check);
      checked->owner->LookAtReady();
    });
  });
  if (error != 0) CloseHandle(&polled_);
  return -error;
}

void ChildEnds::LookAtReady() {
  ForgetParents();
  const Polled* const polled = polled_;
  if (polled == nullptr) return;
  // Whoever hears of one may end this, or begin it again: `ready` is of the next turns then.
  const std::vector<epoll_event> ended(checked_->ready, checked_->ready + std::max(checked_->count, 0));
  for (size_t i = 0; i < ended.size() && polled_ == polled; ++i) look_(arg_, ended[i].data.u32);
}

int ChildEnds::OpenSignaled() {
  if (signaled_ != nullptr) return 0;
  auto* const signaled = new (std::nothrow) Signaled{{}, this};
  if (signaled == nullptr) return ENOMEM;
  int error = uv_signal_init(loop_, &signaled->handle);
  if (error != 0) {
    delete signaled;
    return -error;
  }
  signaled->handle.data = signaled;
  signaled_ = signaled;
  const auto on_signal = [](uv_signal_t* handle, int) {
    ChildEnds* const owner = static_cast<Signaled*>(handle->data)->owner;
    std::vector<uint32_t> untold;
    for (const auto& [id, child] : owner->children_) {
      if (child.pidfd < 0) untold.push_back(id);
    }
    for (const uint32_t id : untold) owner->look_(owner->arg_, id);
  };
  error = uv_signal_start(&signaled->handle, on_signal, SIGCHLD);
  if (error != 0) CloseHandle(&signaled_);
  return -error;
}

void ChildEnds::ForgetParents() {
  if (owner_ == getpid()) return;
  owner_ = getpid();
  children_.clear();
  CloseHandle(&polled_);
  if (checked_ != nullptr) checked_->count = 0;
  CountAlive(-alive_);
}

int ChildEnds::Add(uint32_t id, int pidfd) {
  ForgetParents();
  int error = pidfd < 0 ? OpenSignaled() : OpenPolled();
  epoll_event event = {EPOLLIN, {}};
  event.data.u32 = id;
  if (error == 0 && pidfd >= 0 && epoll_ctl(polled_->set.get(), EPOLL_CTL_ADD, pidfd, &event) != 0) error = errno;
  if (error == 0) children_.emplace(id, Child{pidfd, true});
  CountAlive(error == 0 ? 1 : 0);
  return error;
}

ChildEnds::Child* ChildEnds::Find(uint32_t id) {
  ForgetParents();
  const auto found = children_.find(id);
  return found == children_.end() ? nullptr : &found->second;
}

void ChildEnds::Remove(uint32_t id) {
  const Child* const child = Find(id);
  if (child == nullptr) return;
  if (child->pidfd >= 0) epoll_ctl(polled_->set.get(), EPOLL_CTL_DEL, child->pidfd, nullptr);
  if (child->keeps_alive) CountAlive(-1);
  children_.erase(id);
}

void ChildEnds::KeepAlive(uint32_t id, bool keeps) {
  Child* const child = Find(id);
  if (child == nullptr || child->keeps_alive == keeps) return;
  child->keeps_alive = keeps;
  CountAlive(keeps ? 1 : -1);
}

void ChildEnds::CountAlive(int more) {
  alive_ += more;
  for (uv_handle_t* const handle : {AnyOf(polled_), AnyOf(signaled_)}) {
    if (handle == nullptr) continue;
    if (alive_ > 0) {
      uv_ref(handle);
    } else {
      uv_unref(handle);
    }
  }
}

void ChildEnds::Listen(uint32_t id, bool listens) {
  const Child* const child = Find(id);
  if (child == nullptr || child->pidfd < 0) return;
  epoll_event event = {listens ? EPOLLIN : 0u, {}};
  event.data.u32 = id;
  epoll_ctl(polled_->set.get(), EPOLL_CTL_MOD, child->pidfd, &event);
}

void ChildEnds::Close(Closed closed, void* arg) {
  CloseHandle(&polled_);
  CloseHandle(&checked_);
  CloseHandle(&signaled_);
  closed_ = closed;
  closed_arg_ = arg;
  LeaveIfClosed();
}

}  // namespace atfork::runtime

// child_watch.cc - tells an event loop that a child may have ended.
// Runs in:  the loop's thread.
// Calls:    uv_poll_* on the child's pidfd, which becomes readable at its end: no thread and no signal. Where there is
//           none, uv_signal_* for SIGCHLD: libuv shares that among all who ask for it, and waits for its own children
//           pid by pid, so nobody's are stolen. Allocates in Open.
#include "runtime/child_watch.h"

#include <signal.h>

#include <cerrno>
#include <new>
#include <utility>

namespace atfork::runtime {

ChildWatch::ChildWatch(UniqueFd pidfd, Callback look, void* arg) : pidfd_(std::move(pidfd)), look_(look), arg_(arg) {}

ChildWatch* ChildWatch::Open(uv_loop_t* loop, UniqueFd pidfd, Callback look, void* arg, int* errnum) {
  auto* const watch = new (std::nothrow) ChildWatch(std::move(pidfd), look, arg);
  if (watch == nullptr) {
    *errnum = ENOMEM;
    return nullptr;
  }
  int error;
  if (watch->pidfd_) {
    error = uv_poll_init(loop, &watch->handle_.poll, watch->pidfd());
  } else {
    error = uv_signal_init(loop, &watch->handle_.signal);
  }
  if (error != 0) {
    *errnum = -error;
    delete watch;
    return nullptr;
  }
  watch->handle()->data = watch;
  error = watch->Start();
  if (error == 0) return watch;
  *errnum = -error;
  watch->Close(nullptr, nullptr);
  return nullptr;
}

int ChildWatch::Start() {
  if (pidfd_) {
    return uv_poll_start(&handle_.poll, UV_READABLE, [](uv_poll_t* poll, int, int) {
      const auto* const self = static_cast<ChildWatch*>(poll->data);
      self->look_(self->arg_);
    });
  }
  const auto on_signal = [](uv_signal_t* signal, int) {
    const auto* const self = static_cast<ChildWatch*>(signal->data);
    self->look_(self->arg_);
  };
  return uv_signal_start(&handle_.signal, on_signal, SIGCHLD);
}

void ChildWatch::Listen(bool listens) {
  if (!pidfd_) return;
  if (listens) {
    Start();
  } else {
    uv_poll_stop(&handle_.poll);
  }
}

void ChildWatch::KeepAlive(bool keeps) {
  if (keeps) {
    uv_ref(handle());
  } else {
    uv_unref(handle());
  }
}

void ChildWatch::Close(Callback closed, void* arg) {
  closed_ = closed;
  closed_arg_ = arg;
  uv_close(handle(), [](uv_handle_t* handle) {
    const auto* const self = static_cast<ChildWatch*>(handle->data);
    if (self->closed_ != nullptr) self->closed_(self->closed_arg_);
    delete self;
  });
  pidfd_.reset();  // it is polled no more: uv_close(3)
}

}  // namespace atfork::runtime

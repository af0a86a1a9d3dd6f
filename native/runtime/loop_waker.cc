// loop_waker.cc - tells an event loop, from any thread, that a lock may be its own.
// Runs in:  the loop's thread, but for the wake, which comes from whoever releases a lock.
// Calls:    uv_async_send, which is the one function of libuv for other threads, and takes no lock: a child of a fork
//           finds none held. Allocates in Open.
#include "runtime/loop_waker.h"

#include <sched.h>

#include <new>

namespace atfork::runtime {

UvLoopWaker* UvLoopWaker::Open(uv_loop_t* loop, Look look, void* arg) {
  auto* const waker = new (std::nothrow) UvLoopWaker(look, arg);
  if (waker == nullptr) return nullptr;
  const auto on_async = [](uv_async_t* async) {
    const auto* const self = static_cast<UvLoopWaker*>(async->data);
    self->look_(self->arg_);
  };
  if (uv_async_init(loop, &waker->async_, on_async) != 0) {
    delete waker;
    return nullptr;
  }
  waker->async_.data = waker;
  waker->KeepAlive(false);
  return waker;
}

UvLoopWaker::UvLoopWaker(Look look, void* arg)
    : LoopWaker([](LoopWaker* self) { uv_async_send(&static_cast<UvLoopWaker*>(self)->async_); }),
      look_(look),
      arg_(arg) {}

void UvLoopWaker::KeepAlive(bool keeps) {
  auto* const handle = reinterpret_cast<uv_handle_t*>(&async_);
  if (keeps) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

void UvLoopWaker::Close(void (*closed)(void* arg), void* arg) {
  while (users.load() != 0) sched_yield();
  closed_ = closed;
  closed_arg_ = arg;
  uv_close(reinterpret_cast<uv_handle_t*>(&async_), [](uv_handle_t* handle) {
    const auto* const self = static_cast<UvLoopWaker*>(handle->data);
    if (self->closed_ != nullptr) self->closed_(self->closed_arg_);
    delete self;
  });
}

void UvLoopWaker::Abandon() {
  look_ = [](void*) {};
  uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
}

}  // namespace atfork::runtime

// loop_waker.cc - tells an event loop, from any thread, that a lock may be its own.
// Runs in:  the loop's thread, but for the wake, which comes from whoever releases a lock.
// Calls:    uv_async_send, which is the one function of libuv for other threads, and takes no lock: a child of a fork
//           finds none held. Allocates in Open.
#include "runtime/loop_waker.h"

#include <new>

#include "posix/process_state.h"

namespace atfork::runtime {
namespace {

constexpr int64_t kLongestSleep = 1000 * 1000;  // ns

}  // namespace

UvLoopWaker* UvLoopWaker::Open(uv_loop_t* loop, Look look, Look forget, void* arg) {
  auto* const waker = new (std::nothrow) UvLoopWaker(look, forget, arg);
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
  ThreadEntry& entry = *ThisThread().entry;
  waker->next = entry.wakers;
  entry.wakers = waker;
  return waker;
}

UvLoopWaker::UvLoopWaker(Look look, Look forget, void* arg)
    : LoopWaker([](LoopWaker* self) { uv_async_send(&static_cast<UvLoopWaker*>(self)->async_); },
                [](LoopWaker* self) { static_cast<UvLoopWaker*>(self)->Abandon(); }),
      look_(look),
      forget_(forget),
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
  // Asleep, not spinning: a thread that is stopped for a fork in the midst of a wake goes on only after it, and the
  // fork waits until this one can be stopped, too.
  for (uint32_t seen = users.load(); seen != 0; seen = users.load()) {
    static_cast<void>(FutexWait(&users, seen, MonotonicNanos() + kLongestSleep));
  }
  LoopWaker** link = &ThisThread().entry->wakers;
  while (*link != this) link = &(*link)->next;
  *link = next;
  closed_ = closed;
  closed_arg_ = arg;
  uv_close(reinterpret_cast<uv_handle_t*>(&async_), [](uv_handle_t* handle) {
    const auto* const self = static_cast<UvLoopWaker*>(handle->data);
    if (self->closed_ != nullptr) self->closed_(self->closed_arg_);
    delete self;
  });
}

void UvLoopWaker::ForgetAll() {
  LoopWaker*& wakers = ThisThread().entry->wakers;
  while (wakers != nullptr) {
    LoopWaker* const waker = wakers;
    wakers = waker->next;
    waker->forget(waker);
  }
}

void UvLoopWaker::Abandon() {
  forget_(arg_);
  look_ = [](void*) {};
  uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
}

}  // namespace atfork::runtime

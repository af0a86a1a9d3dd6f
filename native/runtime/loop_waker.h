// loop_waker.h - tells an event loop, from any thread, that a lock may be its own. See loop_waker.cc.
#ifndef ATFORK_RUNTIME_LOOP_WAKER_H_
#define ATFORK_RUNTIME_LOOP_WAKER_H_

#include <uv.h>

#include "posix/lock_queue.h"

namespace atfork::runtime {

class UvLoopWaker : public LoopWaker {
 public:
  using Look = void (*)(void* arg);

  // All on the loop's thread. `look(arg)` is called there, soon after a wake; `forget(arg)` by ForgetAll, and then it
  // must not be used any more. Null: no memory or no descriptor for it.
  static UvLoopWaker* Open(uv_loop_t* loop, Look look, Look forget, void* arg);
  // Whether it keeps the loop alive; not so at first.
  void KeepAlive(bool keeps);
  // When no waiter of it is in any queue. `closed(arg)`, if not null, when its memory is no longer used.
  void Close(void (*closed)(void* arg), void* arg);

  // In the child of a fork, where a thread that is not there may have been about to wake: its memory stays.
  static void ForgetAll();

 private:
  UvLoopWaker(Look look, Look forget, void* arg);
  void Abandon();

  uv_async_t async_;
  Look look_;
  Look forget_;
  void* arg_;
  void (*closed_)(void* arg) = nullptr;
  void* closed_arg_ = nullptr;
};

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_LOOP_WAKER_H_

// child_watch.h - tells an event loop that a child may have ended. See child_watch.cc.
#ifndef ATFORK_RUNTIME_CHILD_WATCH_H_
#define ATFORK_RUNTIME_CHILD_WATCH_H_

#include <uv.h>

#include "posix/fd.h"

namespace atfork::runtime {

class ChildWatch {
 public:
  using Callback = void (*)(void* arg);

  // All on the loop's thread. `look(arg)` is called when the child may have ended, perhaps more than once and perhaps
  // in vain: never before this returns. It keeps the loop alive. `pidfd` closed: it listens to SIGCHLD. Null with an
  // errno: no memory, or no descriptor for it.
  static ChildWatch* Open(uv_loop_t* loop, UniqueFd pidfd, Callback look, void* arg, int* errnum);
  void KeepAlive(bool keeps);
  // Whether it is looked at: so at first. An end that cannot be reaped yet would be told of again and again.
  void Listen(bool listens);
  // The pidfd is closed at once. `closed(arg)`, if not null, when its memory is no longer used.
  void Close(Callback closed, void* arg);
  int pidfd() const { return pidfd_.get(); }

 private:
  ChildWatch(UniqueFd pidfd, Callback look, void* arg);
  uv_handle_t* handle() { return &handle_.any; }
  int Start();

  union {
    uv_handle_t any;
    uv_poll_t poll;
    uv_signal_t signal;
  } handle_;
  UniqueFd pidfd_;
  const Callback look_;
  void* const arg_;
  Callback closed_ = nullptr;
  void* closed_arg_ = nullptr;
};

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_CHILD_WATCH_H_

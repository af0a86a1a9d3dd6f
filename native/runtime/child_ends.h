// child_ends.h - tells an event loop that children may have ended. See child_ends.cc.
#ifndef ATFORK_RUNTIME_CHILD_ENDS_H_
#define ATFORK_RUNTIME_CHILD_ENDS_H_

#include <sys/types.h>
#include <unistd.h>
#include <uv.h>

#include <cstdint>
#include <map>

#include "posix/fd.h"

namespace atfork::runtime {

// Of one loop, on its thread. In a child of fork() nothing is left of what its parent has added.
class ChildEnds {
 public:
  // Called when the child of that id may have ended, perhaps more than once and perhaps in vain: never within Add.
  using Look = void (*)(void* arg, uint32_t id);
  using Closed = void (*)(void* arg);

  ChildEnds(uv_loop_t* loop, Look look, void* arg) : loop_(loop), look_(look), arg_(arg) {}
  ChildEnds(const ChildEnds&) = delete;
  ChildEnds& operator=(const ChildEnds&) = delete;

  // `pidfd` -1: there is none. The loop is kept alive. 0, or an errno: no memory, or no descriptor for it.
  int Add(uint32_t id, int pidfd);
  // Before the pidfd is closed.
  void Remove(uint32_t id);
  // Whether they are this process's, and not those of the parent of a child of fork().
  bool AreOwn() const { return owner_ == getpid(); }
  void KeepAlive(uint32_t id, bool keeps);
  // Whether its pidfd is looked at: so at first. An end that cannot be reaped yet would be told of again and again.
  void Listen(uint32_t id, bool listens);
  // `closed` is called when the loop is not used any more; it may be so at once.
  void Close(Closed closed, void* arg);

 private:
  struct Child {
    int pidfd;
    bool keeps_alive;
  };
  // Handles of the loop, which live until it has closed them.
  struct Polled;
  struct Checked;
  struct Signaled;
  template <typename Handle>
  void CloseHandle(Handle** handle);
  void LeaveIfClosed();
  int OpenChecked();
  int OpenPolled();
  int OpenSignaled();
  void ForgetParents();
  // Null: it is the parent's.
  Child* Find(uint32_t id);
  void LookAtReady();
  void CountAlive(int more);

  uv_loop_t* const loop_;
  const Look look_;
  void* const arg_;
  pid_t owner_ = 0;  // the process whose children these are
  Polled* polled_ = nullptr;
  Checked* checked_ = nullptr;
  Signaled* signaled_ = nullptr;
  std::map<uint32_t, Child> children_;
  int alive_ = 0;  // how many of them keep the loop alive
  uint32_t closing_ = 0;
  Closed closed_ = nullptr;
  void* closed_arg_ = nullptr;
};

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_CHILD_ENDS_H_

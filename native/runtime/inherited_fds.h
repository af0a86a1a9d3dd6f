// inherited_fds.h - what a child has inherited of its parent's connections, and gives up.
#ifndef ATFORK_RUNTIME_INHERITED_FDS_H_
#define ATFORK_RUNTIME_INHERITED_FDS_H_

#include <uv.h>

#include <vector>

#include "posix/result.h"

namespace atfork::runtime {

// For as long as it lives, every handle of the loop counts as one that keeps it alive: Node lists no others
// (process._getActiveHandles). On the loop's thread.
class AllHandlesReferenced {
 public:
  explicit AllHandlesReferenced(uv_loop_t* loop);
  ~AllHandlesReferenced();
  AllHandlesReferenced(const AllHandlesReferenced&) = delete;
  AllHandlesReferenced& operator=(const AllHandlesReferenced&) = delete;

 private:
  std::vector<uv_handle_t*> unreferenced_;
};

// Kinds of handles with a descriptor that goes to another process. What stands on fds 0 to 2, and terminals, are none.
struct InheritedFds {
  bool connections;  // TCP and pipes, and sockets that are polled: c-ares' and those of addons
  bool channels;     // IPC with Node's own protocol: to the parent, to child processes
  bool datagrams;
  bool servers;  // TCP and pipes that listen
  bool queued;   // what is queued for fds 0 to 2, and the files of Unix sockets
};

// What there is of it, as far as JavaScript has to look at the objects.
enum InheritedHandles : int {
  kHandles = 1,     // of the kinds above; file watchers and child processes
  kStdoutFile = 2,  // fd 1 is a file: there is no handle then
  kStderrFile = 4,
  kStdioStream = 8,  // each handle on fds 0 to 2
};

// Child: closes the descriptors of these, and nothing more: no shutdown(2), and nothing that is queued is written. The
// numbers stay in use, for what is never ready, until their handles are closed. `queued`: what is queued for fds 0 to
// 2, which stay, is not written either, and the files of Unix sockets stay when these are closed. InheritedHandles,
// summed up.
Result<int> GiveUpFds(uv_loop_t* loop, const InheritedFds& kinds);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_INHERITED_FDS_H_

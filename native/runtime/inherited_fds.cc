// inherited_fds.cc - see inherited_fds.h.
// Runs in:  the main thread; GiveUpFds in the child.
// Calls:    uv_walk(3), uv_ref(3), uv_unref(3), uv_fileno(3); getsockopt(2), fstat(2), timerfd_create(2), dup3(2).
// Rests on: uv_pipe_t's `pipe_fname`, what uv_close(3) removes (src/unix/pipe.c). uv_loop_fork(3) having given the
// child an epoll set of its own before: an epoll_ctl(2) on the parent's would
//           be one in the parent. uv_stream_t's `connection_cb`, which listening sets, and uv_pipe_t's `ipc`. libuv
//           src/unix/stream.c: a write is finished by being put on the stream's write_completed_queue.
#include "runtime/inherited_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "posix/fd.h"
#include "runtime/libuv_queue.h"

namespace atfork::runtime {
namespace {

// What polls a socket reads from it itself: c-ares, or an addon.
bool IsConnectedSocket(int fd) {
  int listens = 0;
  socklen_t length = sizeof listens;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens == 0;
}

bool IsOneOf(const uv_handle_t* handle, int fd, const InheritedFds& kinds) {
  switch (handle->type) {
    case UV_POLL:
      return kinds.connections && IsConnectedSocket(fd);
    case UV_UDP:
      return kinds.datagrams;
    case UV_NAMED_PIPE:
      if (reinterpret_cast<const uv_pipe_t*>(handle)->ipc != 0) return kinds.channels;
      [[fallthrough]];
    case UV_TCP:
      return reinterpret_cast<const uv_stream_t*>(handle)->connection_cb == nullptr ? kinds.connections : kinds.servers;
    default:
      return false;
  }
}

// Written, as far as libuv knows: it says so when the stream can next be written to, and goes on with what comes after.
void ForgetQueuedWrites(uv_stream_t* stream) {
  QueueNode* const queue = AsQueueNode(&stream->write_queue);
  while (queue->next != queue) {
    QueueNode* const node = queue->next;
    Remove(node);
    WriteOf(node)->error = 0;
    InsertLast(AsQueueNode(&stream->write_completed_queue), node);
  }
}

// The file of a Unix socket is its server's to remove: uv_close(3) would do so here too, and nobody would find the
// parent.
void KeepFile(uv_pipe_t* pipe) { pipe->pipe_fname = nullptr; }

bool IsStream(const uv_handle_t* handle) {
  return handle->type == UV_NAMED_PIPE || handle->type == UV_TCP || handle->type == UV_TTY;
}

bool IsChannelOrServer(const uv_handle_t* handle) {
  if (handle->type == UV_NAMED_PIPE && reinterpret_cast<const uv_pipe_t*>(handle)->ipc != 0) return true;
  return IsStream(handle) && reinterpret_cast<const uv_stream_t*>(handle)->connection_cb != nullptr;
}

bool IsFile(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

// What a walk over the handles looks for, and has found.
struct Search {
  const InheritedFds& kinds;
  std::vector<int> fds;
  int handles = 0;  // InheritedHandles
};

void Look(uv_handle_t* handle, Search* search) {
  if (handle->type == UV_NAMED_PIPE && search->kinds.queued) KeepFile(reinterpret_cast<uv_pipe_t*>(handle));
  uv_os_fd_t fd = -1;
  const bool is_open = uv_fileno(handle, &fd) == 0;
  const bool is_stdio = is_open && fd <= STDERR_FILENO;
  const bool is_connection = IsStream(handle) && !IsChannelOrServer(handle);
  if (is_stdio && IsStream(handle)) search->handles += kStdioStream;
  const bool is_given_up = is_open && !is_stdio && IsOneOf(handle, fd, search->kinds);
  // Else both processes would send it.
  if (search->kinds.queued && is_open && IsStream(handle) && !is_given_up) {
    ForgetQueuedWrites(reinterpret_cast<uv_stream_t*>(handle));
  }
  if ((is_connection && !is_stdio) || IsChannelOrServer(handle) || handle->type == UV_UDP ||
      handle->type == UV_FS_EVENT || handle->type == UV_PROCESS) {
    search->handles |= kHandles;
  }
  // What prints must not find something else there.
  if (is_given_up) search->fds.push_back(fd);
}

}  // namespace

AllHandlesReferenced::AllHandlesReferenced(uv_loop_t* loop) {
  uv_walk(
      loop,
      [](uv_handle_t* handle, void* unreferenced) {
        if (uv_has_ref(handle) != 0 || uv_is_closing(handle) != 0) return;
        uv_ref(handle);
        static_cast<std::vector<uv_handle_t*>*>(unreferenced)->push_back(handle);
      },
      &unreferenced_);
}

AllHandlesReferenced::~AllHandlesReferenced() {
  for (uv_handle_t* handle : unreferenced_) uv_unref(handle);
}

Result<int> GiveUpFds(uv_loop_t* loop, const InheritedFds& kinds) {
  Search search = {kinds, {}};
  if (IsFile(STDOUT_FILENO)) search.handles |= kStdoutFile;
  if (IsFile(STDERR_FILENO)) search.handles |= kStderrFile;
  uv_walk(
      loop, [](uv_handle_t* handle, void* argument) { Look(handle, static_cast<Search*>(argument)); }, &search);
  if (search.fds.empty()) return search.handles;
  // One that is never set: it can be polled, is never ready, and has no other end.
  const UniqueFd silent(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!silent) return Error::Errno("timerfd_create", "handles");
  for (const int fd : search.fds) {
    if (dup3(silent.get(), fd, O_CLOEXEC) < 0) return Error::Errno("dup3", "handles");
  }
  return search.handles;
}

}  // namespace atfork::runtime

// pending_work.cc - see pending_work.h.
// Runs in:  the main thread.
// Calls:    uv_walk(3), uv_prepare_start(3), uv_async_send(3); uv_mutex_lock(3) on the loop's `wq_mutex`.
// Rests on: libuv src/threadpool.c, 1.x: a finished request is put into `wq` of its loop, under `wq_mutex`, with `work`
//           null, and announced by `wq_async`; what is found there is delivered. `active_reqs` counts each from its
//           beginning until then, together with what streams and UDP sockets have under way: of those the public
//           structs tell. Node src/env.cc, 20 to 26: Environment::CleanupHandles closes its own handles, the oldest
//           check handle of the loop among them (InitializeLibuv), and then turns the loop until no request is left.
#include "runtime/pending_work.h"

#include <utility>
#include <vector>

#include "runtime/libuv_queue.h"
#include "runtime/request_queue.h"

namespace atfork::runtime {
namespace {

// Main thread only. A child's child inherits it.
struct Withheld {
  std::vector<struct uv__work*> requests;
  const uv_handle_t* node_s = nullptr;  // closing: the environment is being taken down
  uv_prepare_t watch;                   // once in each turn of the loop
  bool watching = false;
};
Withheld withheld;

unsigned Length(const void* queue) {
  const QueueNode* const head = AsQueueNode(queue);
  unsigned length = 0;
  for (const QueueNode* node = head->next; node != head; node = node->next) ++length;
  return length;
}

unsigned StreamRequests(const uv_stream_t* stream) {
  return (stream->connect_req != nullptr) + (stream->shutdown_req != nullptr) + Length(&stream->write_queue) +
         Length(&stream->write_completed_queue);
}

unsigned SocketRequests(const uv_handle_t* handle) {
  switch (handle->type) {
    case UV_TCP:
    case UV_NAMED_PIPE:
    case UV_TTY:
      return StreamRequests(reinterpret_cast<const uv_stream_t*>(handle));
    case UV_UDP: {
      const auto* udp = reinterpret_cast<const uv_udp_t*>(handle);
      return Length(&udp->write_queue) + Length(&udp->write_completed_queue);
    }
    default:
      return 0;
  }
}

void Withhold(uv_loop_t* loop, struct uv__work* work) {
  withheld.requests.push_back(work);
  --loop->active_reqs.count;
}

void GiveBack(uv_loop_t* loop) {
  uv_mutex_lock(&loop->wq_mutex);
  for (struct uv__work* work : withheld.requests) InsertLast(AsQueueNode(&loop->wq), AsQueueNode(&work->wq));
  loop->active_reqs.count += static_cast<unsigned>(withheld.requests.size());
  withheld.requests.clear();
  uv_async_send(&loop->wq_async);
  uv_mutex_unlock(&loop->wq_mutex);
}

void OnTurn(uv_prepare_t* watch) {
  if (uv_is_closing(withheld.node_s) == 0) return;
  GiveBack(watch->loop);
  uv_close(reinterpret_cast<uv_handle_t*>(watch), nullptr);
}

// It does not keep the loop alive. None of these fails.
void WatchEnvironment(uv_loop_t* loop) {
  if (withheld.watching || withheld.requests.empty()) return;
  withheld.watching = true;
  uv_prepare_init(loop, &withheld.watch);
  uv_prepare_start(&withheld.watch, OnTurn);
  uv_unref(reinterpret_cast<uv_handle_t*>(&withheld.watch));
}

}  // namespace

Status LearnEnvironment(uv_loop_t* loop) {
  if (withheld.node_s != nullptr) return Unit{};
  uv_walk(
      loop,
      [](uv_handle_t* handle, void*) {
        if (withheld.node_s == nullptr && handle->type == UV_CHECK) withheld.node_s = handle;
      },
      nullptr);
  if (withheld.node_s != nullptr) return Unit{};
  return Error::Refused("ERR_ATFORK_UNSUPPORTED", "fork", "the main loop has no check handle of Node's");
}

unsigned PendingRequests(uv_loop_t* loop) {
  unsigned others = 0;
  uv_walk(
      loop, [](uv_handle_t* handle, void* count) { *static_cast<unsigned*>(count) += SocketRequests(handle); },
      &others);
  return loop->active_reqs.count - others;
}

void WithholdQueuedRequests(uv_loop_t* loop) {
  for (struct uv__work* work : CancelRequestsOf(loop)) Withhold(loop, work);
}

void WithholdFinishedRequests(uv_loop_t* loop) {
  QueueNode* const head = AsQueueNode(&loop->wq);
  uv_mutex_lock(&loop->wq_mutex);
  while (head->next != head) {
    QueueNode* const first = head->next;
    Remove(first);
    Withhold(loop, WorkOf(first));
  }
  uv_mutex_unlock(&loop->wq_mutex);
  WatchEnvironment(loop);
}

}  // namespace atfork::runtime

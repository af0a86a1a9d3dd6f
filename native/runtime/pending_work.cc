// pending_work.cc - see pending_work.h.
// Runs in:  the main thread.
// Calls:    uv_walk(3), uv_prepare_start(3), uv_async_send(3); uv_mutex_lock(3) on the loop's `wq_mutex`.
// Rests on: libuv src/threadpool.c, 1.x: a finished request is put into `wq` of its loop, under `wq_mutex`, with `work`
//           null, and announced by `wq_async`; what is found there is delivered. `active_reqs` counts each from its
//           beginning until then, together with what streams and UDP sockets have under way: of those the public
//           structs tell. src/fs-poll.c: a poll's request lies in what `poll_ctx` points at, which is allocated in one.
//           src/unix/fs.c: a request that is finished and cleaned up has no path.
//           Node src/env.cc, 20 to 26: Environment::CleanupHandles closes its own handles, the oldest
//           check handle of the loop among them (InitializeLibuv), and then turns the loop until no request is left.
#include "runtime/pending_work.h"

#include <malloc.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "runtime/libuv_queue.h"
#include "runtime/loop_batch.h"
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

// Of libuv's struct poll_ctx, all but its end.
struct PollContext {
  uv_fs_poll_t* parent_handle;
  int busy_polling;
  unsigned interval;
  uint64_t start_time;
  uv_loop_t* loop;
  uv_fs_poll_cb poll_cb;
  uv_timer_t timer_handle;
  uv_fs_t fs_req;
};

// What it has asked for itself is no request of the program's.
unsigned PollRequests(uv_fs_poll_t* poll) {
  auto* const context = static_cast<PollContext*>(poll->poll_ctx);
  // Without a path it has been delivered (uv_fs_req_cleanup).
  if (context == nullptr || context->fs_req.type != UV_FS || context->fs_req.path == nullptr) return 0;
  // Finished, and in no queue: it is being delivered.
  const QueueNode* const node = AsQueueNode(&context->fs_req.work_req.wq);
  uv_mutex_lock(&poll->loop->wq_mutex);
  const bool is_there = context->fs_req.work_req.work != nullptr || node->prev->next == node;
  uv_mutex_unlock(&poll->loop->wq_mutex);
  return is_there ? 1 : 0;
}

unsigned RequestsOf(uv_handle_t* handle) {
  switch (handle->type) {
    case UV_TCP:
    case UV_NAMED_PIPE:
    case UV_TTY:
      return StreamRequests(reinterpret_cast<const uv_stream_t*>(handle));
    case UV_UDP: {
      const auto* udp = reinterpret_cast<const uv_udp_t*>(handle);
      return Length(&udp->write_queue) + Length(&udp->write_completed_queue);
    }
    case UV_FS_POLL:
      return PollRequests(reinterpret_cast<uv_fs_poll_t*>(handle));
    default:
      return 0;
  }
}

// Memory that malloc(3) gave out.
struct Block {
  const char* begin;
  const char* end;
  bool Contains(const void* address) const { return begin <= address && address < end; }
};

// Those of uv_fs_poll_t (fs.watchFile), which asks for one stat(2) after the other, each when the last has been
// delivered. It goes on in the child.
std::vector<Block> FilePolls(uv_loop_t* loop) {
  std::vector<Block> polls;
  uv_walk(
      loop,
      [](uv_handle_t* handle, void* polls) {
        if (handle->type != UV_FS_POLL) return;
        void* const context = reinterpret_cast<uv_fs_poll_t*>(handle)->poll_ctx;
        if (context == nullptr) return;
        const auto* const begin = static_cast<const char*>(context);
        static_cast<std::vector<Block>*>(polls)->push_back({begin, begin + malloc_usable_size(context)});
      },
      &polls);
  return polls;
}

void Withhold(uv_loop_t* loop, struct uv__work* work) {
  withheld.requests.push_back(work);
  --loop->active_reqs.count;
}

void WithholdAll(uv_loop_t* loop, QueueNode* head, const std::vector<Block>& but) {
  for (QueueNode* node = head->next; node != head;) {
    QueueNode* const next = node->next;
    struct uv__work* const work = WorkOf(node);
    if (std::none_of(but.begin(), but.end(), [work](Block block) { return block.Contains(work); })) {
      Remove(node);
      Withhold(loop, work);
    }
    node = next;
  }
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
      loop, [](uv_handle_t* handle, void* count) { *static_cast<unsigned*>(count) += RequestsOf(handle); }, &others);
  return loop->active_reqs.count - others;
}

void WithholdQueuedRequests(uv_loop_t* loop) {
  for (struct uv__work* work : CancelRequestsOf(loop)) Withhold(loop, work);
}

void WithholdFinishedRequests(uv_loop_t* loop) {
  const std::vector<Block> polls = FilePolls(loop);
  QueueNode* const head = AsQueueNode(&loop->wq);
  for (QueueNode* const in_hand : RequestsInHand(loop)) WithholdAll(loop, in_hand, polls);
  uv_mutex_lock(&loop->wq_mutex);
  WithholdAll(loop, head, polls);
  // uv_loop_fork(3) has dropped what announced it.
  if (head->next != head) uv_async_send(&loop->wq_async);
  uv_mutex_unlock(&loop->wq_mutex);
  WatchEnvironment(loop);
}

}  // namespace atfork::runtime

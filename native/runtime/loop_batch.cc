// loop_batch.cc - see loop_batch.h.
// Runs in:  the main thread.
// Calls:    libuv, on the main loop: uv_walk(3), and handles that do not keep it alive; uv_mutex_lock(3). FIONREAD.
//           process_vm_readv(2) (through ReadOwnMemory), for what may be no pointer.
// Rests on: libuv src/threadpool.c, 1.46 to 1.52: uv__work_done, which is the loop's `wq_async`'s callback, moves what
//           is in `wq` to a ring around a head on its stack, and calls `done` of one after the other, each taken out of
//           the ring before. So the first that is called has the head for its neighbour.
//           src/unix/signal.c: uv__signal_event reads up to 32 signals, 16 bytes each, from a pipe, and calls
//           `signal_cb` of their handles, at the end of a poll. A handle counts those that were caught and those it was
//           called for.
#include "runtime/loop_batch.h"

#include <pthread.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

#include "posix/thread_layout.h"

namespace atfork::runtime {
namespace {

void (*libuv_s_delivery)(uv_async_t*);

// One that is under way.
struct Delivery {
  void (*done)(struct uv__work*, int) = nullptr;
  QueueNode* head = nullptr;
};

// The innermost last. Main thread only.
std::vector<Delivery> deliveries;

void LearnHead(struct uv__work* work, int status) {
  deliveries.back().head = AsQueueNode(&work->wq)->prev;
  work->done = deliveries.back().done;
  work->done(work, status);
}

void Deliver(uv_async_t* announcement) {
  uv_loop_t* const loop = announcement->loop;
  QueueNode* const finished = AsQueueNode(&loop->wq);
  uv_mutex_lock(&loop->wq_mutex);
  const bool is_empty = finished->next == finished;
  if (!is_empty) deliveries.push_back({std::exchange(WorkOf(finished->next)->done, LearnHead), nullptr});
  uv_mutex_unlock(&loop->wq_mutex);
  if (is_empty) return;
  // What comes meanwhile is announced once more.
  libuv_s_delivery(announcement);
  deliveries.pop_back();
}

// Heads of the deliveries in which this was loaded. They stay here: what is left of one that is over is no ring.
std::vector<QueueNode*> unseen;

bool MayBeNode(const QueueNode* node) {
  const auto address = reinterpret_cast<uintptr_t>(node);
  return address != 0 && address % alignof(QueueNode) == 0 && address >> 47 == 0;
}

bool ReadNode(QueueNode* node, const uv_loop_t* loop, QueueNode* copy) {
  struct uv__work work;
  if (!MayBeNode(node) || !ReadOwnMemory(reinterpret_cast<uintptr_t>(WorkOf(node)), &work, sizeof work)) return false;
  *copy = *AsQueueNode(&work.wq);
  return work.loop == loop;
}

// Whether this is the head of a ring of this loop's requests, one at least. What is read of it need not be pointers.
bool IsHead(const QueueNode* head, const uv_loop_t* loop) {
  if (head->next == head || !MayBeNode(head->next) || !MayBeNode(head->prev)) return false;
  const QueueNode* before = head;
  // Each is one of the loop's active requests, so that a ring that does not come back here ends, too.
  unsigned left = loop->active_reqs.count;
  for (QueueNode* node = head->next; node != head; --left) {
    QueueNode copy;
    if (left == 0 || !ReadNode(node, loop, &copy) || copy.prev != before) return false;
    before = std::exchange(node, copy.next);
  }
  return head->prev == before;
}

// Of all deliveries that this is called in, and of which something is left.
Result<std::vector<QueueNode*>> HeadsOnStack(const uv_loop_t* loop) {
  std::vector<QueueNode*> heads;
  if (loop->active_reqs.count == 0) return heads;
  pthread_attr_t attributes;
  const int error = pthread_getattr_np(pthread_self(), &attributes);
  if (error != 0) return Error::Errno("pthread_getattr_np", "load", error);
  void* stack = nullptr;
  size_t size = 0;
  pthread_attr_getstack(&attributes, &stack, &size);
  pthread_attr_destroy(&attributes);
  const auto own = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const uintptr_t end = reinterpret_cast<uintptr_t>(stack) + size - sizeof(QueueNode);
  if (own < reinterpret_cast<uintptr_t>(stack)) return heads;
  for (uintptr_t at = own; at <= end; at += sizeof(void*)) {
    auto* const node = reinterpret_cast<QueueNode*>(at);
    if (IsHead(node, loop)) heads.push_back(node);
  }
  return heads;
}

bool has_signals = false;  // in hand, when the fork came
constexpr int kSignalBytes = 16;

// The callbacks that were put aside.
std::vector<std::pair<uv_signal_t*, uv_signal_cb>> signals;
uv_prepare_t before_poll;
uv_check_t after_poll;
bool are_handles_there = false;  // a child's child has them too

void Nobody(uv_signal_t*, int) {}

template <typename Do>
void ForEachSignal(uv_loop_t* loop, Do body) {
  uv_walk(
      loop,
      [](uv_handle_t* handle, void* body) {
        if (handle->type == UV_SIGNAL) (*static_cast<Do*>(body))(reinterpret_cast<uv_signal_t*>(handle));
      },
      &body);
  body(&loop->child_watcher);  // which is not walked
}

void HearAgain(uv_loop_t* loop) {
  uv_prepare_stop(&before_poll);
  uv_check_stop(&after_poll);
  ForEachSignal(loop, [](uv_signal_t* handle) {
    handle->dispatched_signals = 0;  // all of them were in hand
    for (const auto& [known, callback] : signals) {
      if (known == handle && handle->signal_cb == Nobody) handle->signal_cb = callback;
    }
  });
  signals.clear();
}

}  // namespace

Status WatchDeliveries(uv_loop_t* loop) {
  if (libuv_s_delivery != nullptr) return Unit{};
  auto heads = HeadsOnStack(loop);
  if (!heads) return heads.error();
  unseen = std::move(heads.value());
  libuv_s_delivery = std::exchange(loop->wq_async.async_cb, Deliver);
  return Unit{};
}

std::vector<QueueNode*> RequestsInHand(const uv_loop_t* loop) {
  std::vector<QueueNode*> heads;
  std::copy_if(unseen.begin(), unseen.end(), std::back_inserter(heads),
               [loop](const QueueNode* head) { return IsHead(head, loop); });
  for (const Delivery& each : deliveries) {
    if (each.head != nullptr) heads.push_back(each.head);
  }
  return heads;
}

void NoteSignals(uv_loop_t* loop) {
  int unread = 0;
  if (ioctl(loop->signal_pipefd[0], FIONREAD, &unread) != 0) unread = 0;
  int undelivered = 0;
  ForEachSignal(loop, [&undelivered](uv_signal_t* handle) {
    undelivered += static_cast<int>(handle->caught_signals - handle->dispatched_signals);
  });
  has_signals = undelivered > unread / kSignalBytes;
}

void ForgetSignals(uv_loop_t* loop) {
  ForEachSignal(loop, [](uv_signal_t* handle) {
    // libuv before 1.47 goes on waiting for one that was caught and not delivered (#3483).
    handle->caught_signals = handle->dispatched_signals = 0;
    if (!has_signals || handle->signal_cb == nullptr || handle->signal_cb == Nobody) return;
    signals.emplace_back(handle, std::exchange(handle->signal_cb, Nobody));
  });
  if (!has_signals) return;
  if (!std::exchange(are_handles_there, true)) {
    uv_prepare_init(loop, &before_poll);
    uv_unref(reinterpret_cast<uv_handle_t*>(&before_poll));
    uv_check_init(loop, &after_poll);
    uv_unref(reinterpret_cast<uv_handle_t*>(&after_poll));
  }
  // The poll's end is near. Before the next one in any case.
  uv_prepare_start(&before_poll, [](uv_prepare_t* handle) { HearAgain(handle->loop); });
  uv_check_start(&after_poll, [](uv_check_t* handle) { HearAgain(handle->loop); });
}

}  // namespace atfork::runtime

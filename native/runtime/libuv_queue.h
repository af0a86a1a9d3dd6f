// libuv_queue.h - the rings that libuv keeps its requests in: {next, prev} around a head that points at itself when
// there is nothing.
//
// Rests on: libuv src/queue.h, 1.x: void*[2] up to 1.45, struct uv__queue since, the same in memory.
//           struct uv__work {work, done, loop, wq} is in the public uv/threadpool.h.
#ifndef ATFORK_RUNTIME_LIBUV_QUEUE_H_
#define ATFORK_RUNTIME_LIBUV_QUEUE_H_

#include <uv.h>

#include <cstddef>

namespace atfork::runtime {

struct QueueNode {
  QueueNode* next;
  QueueNode* prev;
};
static_assert(sizeof(uv__work::wq) == sizeof(QueueNode) && sizeof(uv_loop_t::wq) == sizeof(QueueNode) &&
                  sizeof(uv_stream_t::write_queue) == sizeof(QueueNode),
              "libuv's queues differ");

inline QueueNode* AsQueueNode(void* libuv_s) { return static_cast<QueueNode*>(libuv_s); }
inline const QueueNode* AsQueueNode(const void* libuv_s) { return static_cast<const QueueNode*>(libuv_s); }

inline struct uv__work* WorkOf(QueueNode* node) {
  return reinterpret_cast<struct uv__work*>(reinterpret_cast<char*>(node) - offsetof(struct uv__work, wq));
}

inline uv_write_t* WriteOf(QueueNode* node) {
  return reinterpret_cast<uv_write_t*>(reinterpret_cast<char*>(node) - offsetof(uv_write_t, queue));
}

inline void InsertLast(QueueNode* head, QueueNode* node) {
  node->next = head;
  node->prev = head->prev;
  node->prev->next = node;
  head->prev = node;
}

// It is in no queue then, which is how libuv knows a request that has been begun: uv_cancel(3) answers EBUSY.
inline void Remove(QueueNode* node) {
  node->prev->next = node->next;
  node->next->prev = node->prev;
  node->next = node->prev = node;
}

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_LIBUV_QUEUE_H_

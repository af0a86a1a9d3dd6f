// libc_threads.cc - see libc_threads.h.
// Runs in:  Note and Save in the parent, on the forking thread; Restore in the child, on its only thread.
// Calls:    process_vm_readv(2) (through ReadOwnMemory); Restore touches memory only.
// Rests on: reclaim_stacks (glibc sysdeps/nptl/fork.h): the stacks on stack_used move to the front of stack_cache,
// those
//           on stack_user are forgotten; tid = 0, thread-specific data cleared.
#include "runtime/libc_threads.h"

#include <cstring>
#include <vector>

namespace atfork::runtime {
namespace {

struct KnownThread {
  uintptr_t descriptor;
  bool user_stack;
};

struct SavedBlock {
  KeyData* place;
  KeyData keys[kKeysPerBlock];
};

struct SavedThread {
  uintptr_t descriptor;
  int tid;
  int cleared_tid;
};

// Forking thread only.
struct Bookkeeping {
  std::vector<KnownThread> known;
  std::vector<SavedThread> threads;
  std::vector<SavedBlock> blocks;
};
Bookkeeping saved;

constexpr int kMaxThreads = 100000;
constexpr int kTries = 100;

int* Word(uintptr_t descriptor, uint32_t offset) { return reinterpret_cast<int*>(descriptor + offset); }

ListNode* Links(const GlibcLayout& layout, uintptr_t descriptor) {
  return reinterpret_cast<ListNode*>(descriptor + layout.list);
}

// One pass over a list that others may be changing: false when it did not hold together.
bool ReadList(const GlibcLayout& layout, ListNode* head, bool user_stack, std::vector<KnownThread>* threads) {
  ListNode links;
  auto at = reinterpret_cast<uintptr_t>(head);
  uintptr_t before = 0;
  for (int steps = 0; steps < kMaxThreads; ++steps) {
    if (!ReadOwnMemory(at, &links, sizeof links)) return false;
    if (before != 0 && reinterpret_cast<uintptr_t>(links.prev) != before) return false;
    before = at;
    at = reinterpret_cast<uintptr_t>(links.next);
    if (at == reinterpret_cast<uintptr_t>(head)) return true;
    threads->push_back({at - layout.list, user_stack});
  }
  return false;
}

void Unlink(ListNode* node) {
  node->next->prev = node->prev;
  node->prev->next = node->next;
}

void Link(ListNode* node, ListNode* head) {
  node->next = head->next;
  node->prev = head;
  head->next->prev = node;
  head->next = node;
}

}  // namespace

Status NoteLibcThreads(const GlibcLayout& layout) {
  saved.threads.clear();
  saved.blocks.clear();
  for (int i = 0; i < kTries; ++i) {
    saved.known.clear();
    if (ReadList(layout, layout.stack_used, false, &saved.known) &&
        ReadList(layout, layout.stack_user, true, &saved.known)) {
      return Unit{};
    }
  }
  return Error::Refused("ERR_ATFORK_UNSUPPORTED", "threads", "glibc's lists of threads do not hold together");
}

void SaveLibcThread(const GlibcLayout& layout, uintptr_t descriptor) {
  saved.threads.push_back({descriptor, *Word(descriptor, layout.tid), *Word(descriptor, layout.cleared_tid)});
  auto* const* blocks = reinterpret_cast<KeyData* const*>(descriptor + layout.specific);
  for (uint32_t i = 0; i < kKeyBlocks; ++i) {
    if (blocks[i] == nullptr) continue;
    saved.blocks.push_back({blocks[i], {}});
    std::memcpy(saved.blocks.back().keys, blocks[i], sizeof saved.blocks.back().keys);
  }
}

void RestoreLibcThreads(const GlibcLayout& layout) {
  const uintptr_t self = OwnDescriptor(layout);
  for (const KnownThread& thread : saved.known) {
    if (thread.descriptor == self) continue;
    ListNode* node = Links(layout, thread.descriptor);
    if (thread.user_stack) {
      Link(node, layout.stack_user);
    } else {
      Unlink(node);
      Link(node, layout.stack_used);
    }
    *Word(thread.descriptor, layout.tid) = 0;
    *Word(thread.descriptor, layout.cleared_tid) = 0;
  }
  for (const SavedThread& thread : saved.threads) {
    *Word(thread.descriptor, layout.tid) = thread.tid;
    *Word(thread.descriptor, layout.cleared_tid) = thread.cleared_tid;
  }
  for (const SavedBlock& block : saved.blocks) std::memcpy(block.place, block.keys, sizeof block.keys);
}

}  // namespace atfork::runtime

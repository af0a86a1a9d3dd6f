// libc_threads.cc - see libc_threads.h.
// Runs in:  Note and Save in the parent, on the forking thread; Restore in the child, on its only thread.
// Calls:    process_vm_readv(2) (through ReadOwnMemory), nothing else in Restore.
// Rests on: __reclaim_stacks (nptl/allocatestack.c) of glibc 2.31; reclaim_stacks (sysdeps/nptl/fork.h) of 2.36, 2.41
//           and of the development branch three weeks before 2.43. It is all that their fork(3) does to other threads:
//
//   fork                                        here, for a saved thread      for the others
//   moves stack_used to the front of the cache  back on stack_used            taken off, on no list
//   forgets stack_user                          back on stack_user            on no list
//   tid = 0                                     put back                      stays 0, `joinstate` (2.43) too
//   clears thread-specific data                 put back                      -
//   gives getrandom_buf to a pool (2.41)        stays away: the thread takes another one when it next needs it
//   counts the stacks as cached                 stays so: the child caches fewer stacks than it might, no more
//   __nptl_nthreads = 1                         stays so: it is for a main thread that ends before the others
//
// The flag specific_used comes back by itself: park_signal.cc sets a key in each thread that was brought back.
//
// The others are not put back on stack_used: joined they can be wherever they are, and on a list they would be waited
// for to take part in a setuid(2) or to come out of the loader (__nptl_setxid, __thread_gscope_wait).
#include "runtime/libc_threads.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace atfork::runtime {
namespace {

struct KnownThread {
  uintptr_t descriptor;
  bool user_stack;
  ListNode* before;  // on its list
  bool on_cache;     // child
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
  std::vector<KnownThread> known;  // by address
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

KnownThread* FindKnown(uintptr_t descriptor) {
  const auto at =
      std::lower_bound(saved.known.begin(), saved.known.end(), descriptor,
                       [](const KnownThread& thread, uintptr_t place) { return thread.descriptor < place; });
  return at != saved.known.end() && at->descriptor == descriptor ? &*at : nullptr;
}

// One pass over a list that others may be changing: false when it did not hold together.
bool ReadList(const GlibcLayout& layout, ListNode* head, bool user_stack, std::vector<KnownThread>* threads) {
  ListNode links;
  auto at = reinterpret_cast<uintptr_t>(head);
  uintptr_t before = 0;
  for (int steps = 0; steps < kMaxThreads; ++steps) {
    if (!ReadOwnMemory(at, &links, sizeof links)) return false;
    if (before != 0) {
      if (reinterpret_cast<uintptr_t>(links.prev) != before) return false;
      threads->push_back({at - layout.list, user_stack, links.prev, false});
    }
    before = at;
    at = reinterpret_cast<uintptr_t>(links.next);
    if (at == reinterpret_cast<uintptr_t>(head)) return true;
  }
  return false;
}

bool ReadLists(const GlibcLayout& layout, std::vector<KnownThread>* threads) {
  for (int i = 0; i < kTries; ++i) {
    threads->clear();
    if (ReadList(layout, layout.stack_used, false, threads) && ReadList(layout, layout.stack_user, true, threads)) {
      return true;
    }
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

// Child: marks who is on the cache. Its head is not known, but the list is a circle, and one member is.
void MarkCached(const GlibcLayout& layout, uintptr_t member) {
  const ListNode* const start = Links(layout, member);
  const ListNode* node = start;
  for (int steps = 0; steps < kMaxThreads; ++steps) {
    KnownThread* const thread = FindKnown(reinterpret_cast<uintptr_t>(node) - layout.list);
    if (thread != nullptr) thread->on_cache = true;
    node = node->next;
    if (node == start) return;
  }
}

// Child: is the thread's stack as fork left it? Not if the thread ended after it was noted, in the parent, or if its
// stack was given to a new one, in the child.
bool StillThere(const GlibcLayout& layout, const KnownThread& thread) {
  if (!thread.user_stack) return thread.on_cache;
  ListNode links;
  return ReadOwnMemory(thread.descriptor + layout.list, &links, sizeof links) && links.prev == thread.before;
}

}  // namespace

uintptr_t FindLibcThread(const GlibcLayout& layout, pid_t tid) {
  std::vector<KnownThread> threads;
  if (!ReadLists(layout, &threads)) return 0;
  for (const KnownThread& thread : threads) {
    pid_t its = 0;
    if (ReadOwnMemory(thread.descriptor + layout.tid, &its, sizeof its) && its == tid) return thread.descriptor;
  }
  return 0;
}

Status NoteLibcThreads(const GlibcLayout& layout) {
  saved.threads.clear();
  saved.blocks.clear();
  if (!ReadLists(layout, &saved.known)) {
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "threads", "glibc's lists of threads do not hold together");
  }
  std::sort(saved.known.begin(), saved.known.end(),
            [](const KnownThread& a, const KnownThread& b) { return a.descriptor < b.descriptor; });
  return Unit{};
}

Status SaveLibcThread(const GlibcLayout& layout, uintptr_t descriptor) {
  if (FindKnown(descriptor) == nullptr) {
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "threads", "a thread of the runtime is on none of glibc's lists");
  }
  saved.threads.push_back({descriptor, *Word(descriptor, layout.tid), *Word(descriptor, layout.cleared_tid)});
  auto* const* blocks = reinterpret_cast<KeyData* const*>(descriptor + layout.specific);
  for (uint32_t i = 0; i < kKeyBlocks; ++i) {
    if (blocks[i] == nullptr) continue;
    saved.blocks.push_back({blocks[i], {}});
    std::memcpy(saved.blocks.back().keys, blocks[i], sizeof saved.blocks.back().keys);
  }
  return Unit{};
}

bool RestoreLibcThreads(const GlibcLayout& layout) {
  for (const SavedThread& thread : saved.threads) {
    const KnownThread* const known = FindKnown(thread.descriptor);
    if (known->user_stack || known->on_cache) continue;
    if (*Word(thread.descriptor, layout.tid) != 0) return false;  // a new thread has it
    MarkCached(layout, thread.descriptor);
  }
  const uintptr_t self = OwnDescriptor(layout);
  for (const KnownThread& thread : saved.known) {
    if (thread.descriptor == self || !StillThere(layout, thread)) continue;
    ListNode* const node = Links(layout, thread.descriptor);
    if (!thread.user_stack) Unlink(node);
    node->next = node->prev = node;
    *Word(thread.descriptor, layout.tid) = 0;
    *Word(thread.descriptor, layout.cleared_tid) = 0;
  }
  for (const SavedThread& thread : saved.threads) {
    const bool user_stack = FindKnown(thread.descriptor)->user_stack;
    Link(Links(layout, thread.descriptor), user_stack ? layout.stack_user : layout.stack_used);
    *Word(thread.descriptor, layout.tid) = thread.tid;
    *Word(thread.descriptor, layout.cleared_tid) = thread.cleared_tid;
  }
  for (const SavedBlock& block : saved.blocks) std::memcpy(block.place, block.keys, sizeof block.keys);
  return true;
}

}  // namespace atfork::runtime

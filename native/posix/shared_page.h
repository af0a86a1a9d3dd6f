// shared_page.h - what a lock between processes looks like in the memory that they share.
//
// One page, mapped by every process that uses the lock. Any of them may be killed between two of its stores, and any
// may write what it likes, so whoever reads here believes nothing: there is no pointer in it, an index is cut to its
// table, and text to its length. What a corrupt page can do is to break the lock, which a process that can write the
// word can do anyhow; the memory of those who use it it cannot reach. That is why this is not a robust pthread mutex:
// those are linked into a list of their owner's, through pointers that lie in the shared memory.
//
// The word:
//
//   bit 0      held: a guard of the owner's event loop holds it
//   bits 1-22  held: the owner's tid. Else 0
//   bit 26     reserved: somebody has waited for Waiter::kFair, so those that wait get it next, and no passer-by
//   bit 27     an event loop waits for it
//   bit 28     0: see lib/internal/lock-words.ts
//   bit 29     held
//   bit 30     orphaned: an owner ended while it held the lock, so what the lock protects may be half done
//   bit 31     a thread waits for it
//
// A word of 0 is free. JavaScript takes a free one, and gives one back that nobody waits for, by itself
// (lib/internal/lock-words.ts), as it does with a lock of one process: the bits that it knows are the same.
#ifndef ATFORK_POSIX_SHARED_PAGE_H_
#define ATFORK_POSIX_SHARED_PAGE_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "posix/thread_directory.h"

namespace atfork {

// What a thread that has used the lock says of itself, for others' messages. Sixteen bytes of text, the last one 0.
struct SharedPageThread {
  std::atomic<uint32_t> tid{0};
  std::atomic<uint32_t> pid{0};
  std::atomic<int32_t> thread_id{-1};
  std::atomic<uint32_t> unused{0};
  std::atomic<uint64_t> label[2] = {};
};

struct SharedPage {
  static constexpr uint64_t kMagic = 0x6b636f6c'6b726f66;  // the bytes "forklock"
  // To be raised with every change of this struct, or of what its words mean.
  static constexpr uint32_t kVersion = 1;
  static constexpr size_t kSize = 4096;
  static constexpr size_t kThreads = 120;
  // Of the word.
  static constexpr uint32_t kTokens = (1u << 24) - 1;
  static pid_t TidOf(uint32_t its_word) { return static_cast<pid_t>((its_word & kTokens) >> 1); }

  // The thread has used the lock; `data`: a descriptor of the page.
  void Describe(const ThreadDescription& thread, int data);
  // With nothing but the tid when nobody of it is known.
  ThreadDescription Lookup(pid_t tid) const;

  uint64_t magic;
  uint32_t version;
  uint32_t size;
  // Of the pid namespace that its tids belong to: the device and the inode of /proc/self/ns/pid.
  uint64_t namespace_device;
  uint64_t namespace_inode;

  alignas(64) std::atomic<uint32_t> word{0};
  // How often the owner holds it beyond once. 0 while nobody holds it.
  std::atomic<uint32_t> extra_depth{0};
  // Who left it orphaned.
  std::atomic<uint32_t> left_by{0};
  // A byte that is written, with write(2), to tell event loops.
  uint8_t bell[4] = {};
  // When it was reserved, by CLOCK_MONOTONIC.
  std::atomic<int64_t> reserved_at{0};

  alignas(64) SharedPageThread threads[kThreads];

 private:
  // The i-th of the places that a thread may have among them.
  static constexpr size_t kProbes = 16;
  static size_t Place(pid_t tid, size_t i) { return (static_cast<size_t>(tid) + i) % kThreads; }
  size_t PlaceFor(pid_t tid, int data) const;
};

static_assert(sizeof(SharedPage) <= SharedPage::kSize);
static_assert(offsetof(SharedPage, word) == 64 && offsetof(SharedPage, extra_depth) == 68, "JavaScript reads the two");
static_assert(std::atomic<uint64_t>::is_always_lock_free, "a lock inside would be one process's");

}  // namespace atfork

#endif  // ATFORK_POSIX_SHARED_PAGE_H_

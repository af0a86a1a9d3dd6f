// fork_verdict.cc - see fork_verdict.h.
// Runs in:  the forking thread; GiveUpFork in a signal handler. All but BeginVerdict is async-signal-safe.
// Calls:    mmap(2), munmap(2).
#include "runtime/fork_verdict.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <new>

namespace atfork::runtime {
namespace {

// A parent goes on to its next fork before a slow child has looked: so the word tells which fork it speaks of.
enum Verdict : uint64_t { kUndecided, kGivenUp, kCommitted, kPerFork };

// Process-wide: one fork at a time. The word is shared with the child that is being made.
std::atomic<uint64_t>* word = nullptr;
bool is_own = false;
std::atomic<uint64_t> fork_number{0};

static_assert(std::atomic<uint64_t>::is_always_lock_free, "it is shared between processes");

// What it is after all, when `wanted` comes too late.
uint64_t Decide(uint64_t number, Verdict wanted) {
  const uint64_t base = number * kPerFork;
  uint64_t found = base;
  return word->compare_exchange_strong(found, base + wanted) ? wanted : found - base;
}

}  // namespace

bool IsVerdictMapping(uintptr_t address) { return address == reinterpret_cast<uintptr_t>(word); }

Status BeginVerdict() {
  if (!is_own) {
    void* const page = mmap(nullptr, sizeof *word, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return Error::Errno("mmap", "fork");
    if (word != nullptr) munmap(word, sizeof *word);
    word = new (page) std::atomic<uint64_t>(0);
    is_own = true;
  }
  word->store((fork_number.fetch_add(1) + 1) * kPerFork);
  return Unit{};
}

void DisownVerdict() { is_own = false; }

uint64_t ForkNumber() { return fork_number.load(std::memory_order_relaxed); }

bool GiveUpFork(uint64_t number) { return Decide(number, kGivenUp) == kGivenUp; }

// A parent that has gone on to another fork had committed to this one.
bool CommitFork() { return Decide(ForkNumber(), kCommitted) != kGivenUp; }

}  // namespace atfork::runtime

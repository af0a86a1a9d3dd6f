// named_lock.cc - locks and semaphores that everybody in this process finds by their name.
// Runs in:  any thread. Calls: strdup(3), malloc(3), aligned_alloc(3). Returns: Result<>. What is made stays for the
// life of the process:
//           a fork may be about to take it at any time.
#include "posix/named_lock.h"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "posix/process_state.h"

namespace atfork {
namespace {

constexpr char kStage[] = "open";

struct Free {
  void operator()(void* memory) const { free(memory); }
};
using Name = std::unique_ptr<char, Free>;

Error OutOfMemory() { return Error::Errno("", kStage, ENOMEM); }

Status CheckRank(const ForkParticipant& lock, std::optional<int> rank) {
  if (!rank.has_value() || *rank == lock.rank) return Unit{};
  return Error{EINVAL, "", kStage, nullptr, "its rank is " + std::to_string(lock.rank)};
}

Error Cancelled() { return Error::Errno("", kStage, ECANCELED); }

using Chunk = LockRoom<kPage - 8>;
static_assert(sizeof(Chunk) == kPage);

std::atomic<Chunk*> current{nullptr};

// Memory for `size` bytes, a multiple of 8, which stays; null: there is none.
void* TakeRoom(size_t size) {
  // In the page that a fork copies anyway, as long as there is room.
  void* room = GetProcessState()->room.Take(size);
  while (room == nullptr) {
    Chunk* chunk = current.load();
    room = chunk == nullptr ? nullptr : chunk->Take(size);
    if (room != nullptr) break;
    void* const memory = aligned_alloc(kPage, sizeof(Chunk));
    if (memory == nullptr) return nullptr;
    auto* const next = new (memory) Chunk;
    if (!current.compare_exchange_strong(chunk, next)) free(memory);
  }
  return room;
}

constexpr size_t Aligned(size_t size) { return (size + 7) / 8 * 8; }

// The lock of that name which is registered in the end: `made`, or the one that another thread made meanwhile; null:
// see LockRegistry::Add. What is not used stays in its chunk.
template <typename L>
L* Register(L* made, Name name) {
  ForkParticipant* const registered = GetProcessState()->locks.Add(made, ThisThread());
  if (registered == made) static_cast<void>(name.release());
  return static_cast<L*>(registered);
}

}  // namespace

Result<ProcessLock*> OpenNamedLock(const char* name, std::optional<int> rank) {
  ProcessState& state = *GetProcessState();
  auto* lock = static_cast<ProcessLock*>(state.locks.Find(name, ParticipantKind::kLock));
  if (lock == nullptr) {
    Name own(strdup(name));
    std::unique_ptr<ThreadDescription> left_by(new (std::nothrow) ThreadDescription);
    void* const room = TakeRoom(sizeof(ProcessLock));
    if (own == nullptr || left_by == nullptr || room == nullptr) return OutOfMemory();
    auto* const made = new (room)
        ProcessLock(ThisThread().generation, ParticipantKind::kLock, own.get(), rank.value_or(0), left_by.get());
    lock = Register(made, std::move(own));
    if (lock == made) static_cast<void>(left_by.release());
    if (lock == nullptr) return Cancelled();
  }
  const Status same = CheckRank(*lock, rank);
  if (!same) return same.error();
  return lock;
}

Result<ProcessSemaphore*> OpenNamedSemaphore(const char* name, uint32_t permits, std::optional<int> rank) {
  ProcessState& state = *GetProcessState();
  auto* semaphore = static_cast<ProcessSemaphore*>(state.locks.Find(name, ParticipantKind::kSemaphore));
  if (semaphore == nullptr) {
    Name own(strdup(name));
    // Its permits beside it, unless they are many.
    const size_t bytes = permits * sizeof(uint32_t);
    constexpr size_t kMost = 1024;
    void* const room = TakeRoom(sizeof(ProcessSemaphore) + (bytes <= kMost ? Aligned(bytes) : 0));
    void* const many = bytes <= kMost ? nullptr : malloc(bytes);
    if (own == nullptr || room == nullptr || (bytes > kMost && many == nullptr)) return OutOfMemory();
    void* const list = many != nullptr ? many : static_cast<char*>(room) + sizeof(ProcessSemaphore);
    auto* const made = new (room)
        ProcessSemaphore(ThisThread().generation, own.get(), rank.value_or(0), static_cast<uint32_t*>(list), permits);
    semaphore = Register(made, std::move(own));
    if (semaphore != made) free(many);
    if (semaphore == nullptr) return Cancelled();
  }
  if (semaphore->most() != permits) {
    return Error{EINVAL, "", kStage, nullptr, "its number of permits is " + std::to_string(semaphore->most())};
  }
  const Status same = CheckRank(*semaphore, rank);
  if (!same) return same.error();
  return semaphore;
}

}  // namespace atfork

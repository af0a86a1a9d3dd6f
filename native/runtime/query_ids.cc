// query_ids.cc - see query_ids.h.
// Runs in:  the main thread; the watcher in any thread that calls getrandom from the runtime module.
// Calls:    c-ares' own ares_init_rand_state, ares_rand_bytes and ares_destroy_rand_state, which Node exports.
// Rests on: c-ares src/lib/util/ares_rand.c: a state is {type, bad backends, 272 bytes that are zero while the system's
//           getrandom(2) serves, 256 bytes read ahead, how many of them are left}. Learned and checked at load.
//
// A channel may have been closed since; its state is then free memory, or somebody else's. It is taken to be there
// while all of its some 540 bytes are as c-ares left them: free(3) writes over the first of them at once.
#include "runtime/query_ids.h"

#include <dlfcn.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "posix/thread_layout.h"
#include "runtime/import_table.h"

namespace atfork::runtime {
namespace {

constexpr size_t kPool = 256;
constexpr size_t kMostAhead = 1024;  // of the pool in the state; 280 bytes up to 1.34.8
constexpr size_t kPruneAt = 64;

ssize_t (*original_getrandom)(void*, size_t, unsigned) = getrandom;

// Where c-ares calls getrandom to fill its pool, and how its state begins. Set once, at load.
uintptr_t call_site = 0;
std::vector<unsigned char> beginning;

// While c-ares is watched at load.
struct Call {
  uintptr_t site;
  uintptr_t buffer;
  size_t bytes;
};
bool learning = false;
Call last_call = {};

// The Workers' channels are not looked at: a child has none. Main thread only.
struct Pool {
  uintptr_t address;
  size_t bytes;  // read last, from its beginning; the rest is older
  std::array<unsigned char, kPool> content;
};
std::vector<Pool> pools;
size_t prune_at = kPruneAt;
std::vector<size_t*> remaining;

bool IsThere(const Pool& pool) {
  unsigned char state[kMostAhead + kPool];
  const size_t bytes = beginning.size() + kPool;
  return ReadOwnMemory(pool.address - beginning.size(), state, bytes) &&
         std::memcmp(state, beginning.data(), beginning.size()) == 0 &&
         std::memcmp(state + beginning.size(), pool.content.data(), pool.bytes) == 0;
}

void Prune() {
  pools.erase(std::remove_if(pools.begin(), pools.end(), [](const Pool& pool) { return !IsThere(pool); }), pools.end());
  prune_at = std::max(kPruneAt, 2 * pools.size());
}

void NotePool(uintptr_t address, size_t bytes) {
  auto known = std::find_if(pools.begin(), pools.end(), [=](const Pool& pool) { return pool.address == address; });
  if (known == pools.end()) {
    if (pools.size() >= prune_at) Prune();
    known = pools.insert(pools.end(), Pool{address, 0, {}});
  }
  known->bytes = bytes;
  std::memcpy(known->content.data(), reinterpret_cast<const void*>(address), bytes);
}

ssize_t WatchedGetrandom(void* buffer, size_t bytes, unsigned flags) {
  const auto site = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  const ssize_t got = original_getrandom(buffer, bytes, flags);
  if (got <= 0 || (site != call_site && !learning) || syscall(SYS_gettid) != getpid()) return got;
  const auto address = reinterpret_cast<uintptr_t>(buffer);
  if (learning) last_call = {site, address, static_cast<size_t>(got)};
  // Else the second half of a fill that came in two.
  if (site == call_site && bytes <= kPool) NotePool(address, static_cast<size_t>(got));
  return got;
}

// On a state that `draw` has taken two bytes from.
Status LearnState(const void* state) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(state);
  const auto refuse = [](const char* why) { return Error::Refused("ERR_ATFORK_UNSUPPORTED", "load", why); };
  if (last_call.site == 0) return refuse("c-ares does not read its random bytes by getrandom(2)");
  const uintptr_t ahead = last_call.buffer - begin;
  if (last_call.bytes != kPool || ahead == 0 || ahead > kMostAhead) return refuse("c-ares' random bytes lie elsewhere");
  size_t left = 0;
  if (!ReadOwnMemory(last_call.buffer + kPool, &left, sizeof left) || left != kPool - 2) {
    return refuse("c-ares counts its random bytes in another way");
  }
  const auto* bytes = static_cast<const unsigned char*>(state);
  beginning.assign(bytes, bytes + ahead);
  call_site = last_call.site;
  return Unit{};
}

}  // namespace

Status WatchQueryIds() {
  const auto create = reinterpret_cast<void* (*)()>(dlsym(RTLD_DEFAULT, "ares_init_rand_state"));
  const auto draw = reinterpret_cast<void (*)(void*, unsigned char*, size_t)>(dlsym(RTLD_DEFAULT, "ares_rand_bytes"));
  const auto destroy = reinterpret_cast<void (*)(void*)>(dlsym(RTLD_DEFAULT, "ares_destroy_rand_state"));
  if (create == nullptr || draw == nullptr || destroy == nullptr) {
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "load", "the runtime does not export c-ares' random bytes");
  }
  Status watched = ReplaceImport("getrandom", reinterpret_cast<void*>(WatchedGetrandom),
                                 reinterpret_cast<void**>(&original_getrandom));
  if (!watched) return watched;
  void* const state = create();
  if (state == nullptr) return Error::Errno("malloc", "load", ENOMEM);
  unsigned char id[2];
  learning = true;
  draw(state, id, sizeof id);
  learning = false;
  Status known = LearnState(state);
  destroy(state);
  return known;
}

void NoteQueryIds() {
  Prune();
  remaining.clear();
  for (const Pool& pool : pools) remaining.push_back(reinterpret_cast<size_t*>(pool.address + kPool));
}

void ForgetQueryIds() {
  for (size_t* const count : remaining) *count = 0;
}

}  // namespace atfork::runtime

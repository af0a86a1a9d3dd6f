// math_random.cc - see math_random.h.
// Runs in:  the main thread: the lesson and NoteMathRandom in the parent, RenewMathRandom in the child.
// Calls:    process_vm_readv(2), also through ReadOwnMemory; getrandom(2). v8::Isolate::GetCurrent and
// GetCurrentContext, which
//           Node exports to addons; there is no header of V8's here, or one binary would not serve all lines.
// Rests on: V8 src/numbers/math-random.cc, src/base/utils/random-number-generator.cc, src/heap: native_contexts_list.
#include "runtime/math_random.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "posix/fresh_random.h"
#include "posix/thread_layout.h"

namespace atfork::runtime {
namespace {

constexpr size_t kWord = sizeof(uintptr_t);
// More than an isolate has: 64 KiB in Node 26. What comes after it is read too, as far as it is mapped.
constexpr size_t kIsolateWords = 16 * 1024;
constexpr size_t kPageWords = 4096 / kWord;
constexpr size_t kMostContexts = 1 << 20;
constexpr uint64_t kCacheLength = 64;
constexpr uint64_t kStateBytes = 16;
// Of process_vm_readv(2)'s vectors; IOV_MAX is 1024.
constexpr size_t kBatch = 256;
// A seed has 8 or 16 bytes; the generator may have served something else too.
constexpr int kMostSteps = 64;

// Words of a heap object.
enum { kMap = 0, kLength = 1, kElements = 2 };

constexpr uintptr_t Smi(uint64_t value) { return value << 32; }
constexpr bool IsSmi(uintptr_t word) { return (word & 0xffffffff) == 0; }
constexpr bool IsHeapObject(uintptr_t word) { return (word & 3) == 1 && word > 4096; }
constexpr uintptr_t AddressOf(uintptr_t tagged) { return tagged - 1; }

// What one lesson and all its checks have shown. Process-wide, main thread only.
struct Learned {
  bool known = false;
  bool seeded = false;  // --random-seed: V8 is to repeat itself
  uintptr_t head_slot = 0;
  uintptr_t length = 0;
  size_t link = 0;
  size_t index = 0;  // the slot; the state's is the next
  uintptr_t state_map = 0;
  uintptr_t generator = 0;
} learned;

struct Target {
  uintptr_t index;  // addresses
  uintptr_t state;
};
std::vector<Target> targets;

// The first value in the last lesson's context that taught nothing of the generator.
double unexplained = -1;

Error Refuse(const char* why) {
  return Error::Refused("ERR_ATFORK_UNSUPPORTED", "random", std::string("Math.random: ") + why);
}

template <typename T>
bool Read(uintptr_t address, T* into) {
  return ReadOwnMemory(address, into, sizeof *into);
}

bool ReadWords(uintptr_t address, size_t count, std::vector<uintptr_t>* into) {
  into->resize(count);
  return ReadOwnMemory(address, into->data(), count * kWord);
}

uintptr_t IsolateAddress() {
  using GetCurrent = void* (*)();
  static const auto get = reinterpret_cast<GetCurrent>(dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv"));
  return get == nullptr ? 0 : reinterpret_cast<uintptr_t>(get());
}

// A Local<Context> is the address of a handle.
uintptr_t CurrentContext() {
  using GetCurrentContext = uintptr_t* (*)(uintptr_t);
  static const auto get =
      reinterpret_cast<GetCurrentContext>(dlsym(RTLD_DEFAULT, "_ZN2v87Isolate17GetCurrentContextEv"));
  if (get == nullptr) return 0;
  uintptr_t context = 0;
  return Read(reinterpret_cast<uintptr_t>(get(IsolateAddress())), &context) ? context : 0;
}

std::vector<uintptr_t> ReadIsolate() {
  std::vector<uintptr_t> all, page;
  const uintptr_t isolate = IsolateAddress();
  while (isolate != 0 && all.size() < kIsolateWords && ReadWords(isolate + all.size() * kWord, kPageWords, &page)) {
    all.insert(all.end(), page.begin(), page.end());
  }
  return all;
}

bool IsContextLength(uintptr_t word) { return IsSmi(word) && word > Smi(64) && word < Smi(4096); }

// The words of the native context at `tagged`, map and length included.
bool ReadContext(uintptr_t tagged, std::vector<uintptr_t>* words) {
  uintptr_t length = 0;
  if (!IsHeapObject(tagged) || !Read(AddressOf(tagged) + kLength * kWord, &length) || !IsContextLength(length)) {
    return false;
  }
  return ReadWords(AddressOf(tagged), kElements + (length >> 32), words);
}

// What lies at each of these addresses; zeros where it cannot be read.
std::vector<MathRandomLesson::Generator> ReadEach(const std::vector<uintptr_t>& addresses) {
  constexpr size_t kEach = sizeof(MathRandomLesson::Generator);
  std::vector<MathRandomLesson::Generator> all(addresses.size());
  iovec local[kBatch], remote[kBatch];
  for (size_t done = 0; done < all.size();) {
    const size_t count = std::min(kBatch, all.size() - done);
    for (size_t i = 0; i < count; ++i) {
      local[i] = {&all[done + i], kEach};
      remote[i] = {reinterpret_cast<void*>(addresses[done + i]), kEach};
    }
    const ssize_t bytes = process_vm_readv(getpid(), local, count, remote, count, 0);
    const size_t whole = bytes < 0 ? 0 : static_cast<size_t>(bytes) / kEach;
    // It stops at the first that cannot be read.
    done += whole;
    if (whole < count) all[done++] = {};
  }
  return all;
}

// base::RandomNumberGenerator::XorShift128.
void Step(MathRandomLesson::Generator* generator) {
  uint64_t s1 = (*generator)[1];
  const uint64_t s0 = (*generator)[2];
  s1 ^= s1 << 23;
  s1 ^= s1 >> 17;
  s1 ^= s0;
  s1 ^= s0 >> 26;
  (*generator)[1] = s0;
  (*generator)[2] = s1;
}

bool CameFrom(MathRandomLesson::Generator before, const MathRandomLesson::Generator& after) {
  for (int steps = 0; steps < kMostSteps; ++steps) {
    Step(&before);
    if (before == after) return true;
  }
  return false;
}

// One context's state. A refusal when it does not look as in the lesson.
Status NoteContext(uintptr_t tagged, const std::vector<uintptr_t>& words) {
  const uintptr_t index = words[learned.index];
  const uintptr_t state = words[learned.index + 1];
  uintptr_t array[kElements + kStateBytes / kWord];
  if (!IsSmi(index) || index > Smi(kCacheLength) || !IsHeapObject(state) || !Read(AddressOf(state), &array) ||
      array[kMap] != learned.state_map || array[kLength] != Smi(kStateBytes)) {
    return Refuse("a context's state is not where it was learned");
  }
  // One that was never drawn from is left alone: each write is a page that the child no longer shares.
  if (index == 0 && array[kElements] == 0 && array[kElements + 1] == 0) return Unit{};
  targets.push_back({AddressOf(tagged) + learned.index * kWord, AddressOf(state) + kElements * kWord});
  return Unit{};
}

// Notes every context's state in `targets`; `current`, unless 0, has to be among the contexts.
Status WalkContexts(uintptr_t current) {
  targets.clear();
  uintptr_t tagged = 0;
  if (!Read(learned.head_slot, &tagged)) return Refuse("the list of contexts cannot be read");
  bool found = current == 0;
  size_t count = 0;
  std::vector<uintptr_t> words;
  // The list ends in undefined.
  while (ReadContext(tagged, &words) && words[kLength] == learned.length) {
    Status noted = NoteContext(tagged, words);
    if (!noted) return noted;
    if (tagged == current) found = true;
    if (++count > kMostContexts) return Refuse("the list of contexts does not end");
    tagged = words[learned.link];
  }
  if (count == 0 || !found) return Refuse("the list of contexts is not complete");
  return Unit{};
}

}  // namespace

Status MathRandomLesson::Began() {
  isolate_ = ReadIsolate();
  if (isolate_.empty() || CurrentContext() == 0) return Refuse("V8's isolate and context are not found");
  return Unit{};
}

Status MathRandomLesson::MadeContext() {
  const std::vector<uintptr_t> before = std::move(isolate_);
  isolate_ = ReadIsolate();
  std::vector<uintptr_t> older;
  for (size_t i = 0; i < std::min(before.size(), isolate_.size()); ++i) {
    if (isolate_[i] == before[i] || !ReadContext(isolate_[i], &context_) || !ReadContext(before[i], &older)) continue;
    const auto links = std::count(context_.begin(), context_.end(), before[i]);
    if (context_[kLength] != older[kLength] || links != 1) continue;
    if (head_slot_ != 0) return Refuse("there are two lists of contexts");
    head_slot_ = IsolateAddress() + i * kWord;
    length_ = context_[kLength];
    link_ = static_cast<size_t>(std::find(context_.begin(), context_.end(), before[i]) - context_.begin());
  }
  if (head_slot_ == 0) return Refuse("the list of contexts is not found");

  std::vector<uintptr_t> pointers;
  for (const uintptr_t word : isolate_) {
    if (word % 16 == 0 && word >= 65536 && word < (uintptr_t{1} << 47)) pointers.push_back(word);
  }
  std::sort(pointers.begin(), pointers.end());
  pointers.erase(std::unique(pointers.begin(), pointers.end()), pointers.end());
  pointers_ = std::move(pointers);
  pointed_at_ = ReadEach(pointers_);
  return Unit{};
}

Status MathRandomLesson::DrewOnce(double value) {
  first_ = value;
  const std::vector<Generator> before = std::move(pointed_at_);
  const std::vector<Generator> after = ReadEach(pointers_);
  for (size_t i = 0; i < pointers_.size(); ++i) {
    if (after[i] == before[i] || !CameFrom(before[i], after[i])) continue;
    if (generator_ != 0) return Refuse("there are two generators");
    generator_ = pointers_[i];
  }
  uintptr_t newest = 0;
  if (!Read(head_slot_, &newest) || !ReadContext(newest, &context_)) return Refuse("the new context is not found");
  return Unit{};
}

Status MathRandomLesson::DrewTwice(double value) {
  uintptr_t newest = 0;
  const std::vector<uintptr_t> before = std::move(context_);
  if (!Read(head_slot_, &newest) || !ReadContext(newest, &context_) || context_.size() != before.size()) {
    return Refuse("the new context is not found");
  }
  size_t index = 0;
  for (size_t i = kElements; i < context_.size(); ++i) {
    if (!IsSmi(before[i]) || before[i] == 0 || before[i] - Smi(1) != context_[i]) continue;
    if (index != 0) return Refuse("two slots count down");
    index = i;
  }
  if (index == 0 || index + 2 >= context_.size()) return Refuse("no slot counts down");
  const uint64_t position = context_[index] >> 32;
  const uintptr_t state = context_[index + 1];
  const uintptr_t cache = context_[index + 2];
  uintptr_t state_head[kElements], cache_head[kElements];
  double returned = 0;
  if (position >= kCacheLength || !IsHeapObject(state) || !IsHeapObject(cache) ||
      !Read(AddressOf(state), &state_head) || !Read(AddressOf(cache), &cache_head) ||
      state_head[kLength] != Smi(kStateBytes) || cache_head[kLength] != Smi(kCacheLength) ||
      !Read(AddressOf(cache) + (kElements + position) * kWord, &returned) || returned != value) {
    return Refuse("the values drawn ahead are not found");
  }
  const bool seeded = generator_ == 0 && first_ == unexplained;
  if (generator_ == 0 && !seeded) {
    unexplained = first_;
    return Refuse("the generator is not found");
  }
  learned = {false, seeded, head_slot_, length_, link_, index, state_head[kMap], generator_};
  Status walked = WalkContexts(CurrentContext());
  if (!walked) return walked;
  learned.known = true;
  return Unit{};
}

Status NoteMathRandom() {
  if (!learned.known) return Refuse("it was not learned");
  targets.clear();
  return learned.seeded ? Status(Unit{}) : WalkContexts(0);
}

int RenewMathRandom() {
  if (learned.seeded) return 0;
  for (const auto& [index, state] : targets) {
    *reinterpret_cast<uintptr_t*>(index) = Smi(0);
    std::memset(reinterpret_cast<void*>(state), 0, kStateBytes);
  }
  // It stays at zero once it is there.
  uint64_t fresh[2] = {0, 0};
  while (fresh[0] == 0 && fresh[1] == 0) {
    if (!FreshRandom(fresh, sizeof fresh)) return errno;
  }
  auto* generator = reinterpret_cast<uint64_t*>(learned.generator);
  std::memcpy(generator + 1, fresh, sizeof fresh);
  return 0;
}

}  // namespace atfork::runtime

// shared_page.cc - who has used a lock between processes, by what they said of themselves; see shared_page.h.
// Runs in:  any thread of any process that has the page.
// Calls:    fcntl(2) (presence.h). Allocates: no. Keeps errno.
#include "posix/shared_page.h"

#include <algorithm>
#include <cstring>

#include "posix/presence.h"

namespace atfork {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

}  // namespace

void SharedPage::Describe(const ThreadDescription& thread, int data) {
  uint64_t label[2];
  static_assert(sizeof label == sizeof thread.label);
  std::memcpy(label, thread.label, sizeof label);
  SharedPageThread& entry = threads[PlaceFor(thread.tid, data)];
  entry.pid.store(static_cast<uint32_t>(thread.pid), kRelaxed);
  entry.thread_id.store(thread.thread_id, kRelaxed);
  entry.label[0].store(label[0], kRelaxed);
  entry.label[1].store(label[1], kRelaxed);
  entry.tid.store(static_cast<uint32_t>(thread.tid), std::memory_order_release);
}

// Its own place; else one that is free; else that of a thread that is gone, and did not leave the lock behind. Where
// there is none, or two threads come at a time, one is forgotten: this is for messages.
size_t SharedPage::PlaceFor(pid_t tid, int data) const {
  const pid_t owner = TidOf(word.load(kRelaxed));
  const auto leaver = static_cast<pid_t>(left_by.load(kRelaxed));
  size_t free = kThreads;
  size_t deserted = kThreads;
  for (size_t i = 0; i < kProbes; ++i) {
    const size_t place = Place(tid, i);
    const auto its = static_cast<pid_t>(threads[place].tid.load(kRelaxed));
    if (its == tid) return place;
    if (its == 0) {
      free = std::min(free, place);
    } else if (its != owner && its != leaver && !Presence::IsTaken(data, its)) {
      deserted = std::min(deserted, place);
    }
  }
  if (free < kThreads) return free;
  return deserted < kThreads ? deserted : Place(tid, 0);
}

ThreadDescription SharedPage::Lookup(pid_t tid) const {
  ThreadDescription description;
  description.tid = tid;
  for (size_t i = 0; i < kProbes; ++i) {
    const SharedPageThread& entry = threads[Place(tid, i)];
    if (entry.tid.load(std::memory_order_acquire) != static_cast<uint32_t>(tid)) continue;
    description.pid = static_cast<pid_t>(entry.pid.load(kRelaxed));
    description.thread_id = entry.thread_id.load(kRelaxed);
    const uint64_t label[2] = {entry.label[0].load(kRelaxed), entry.label[1].load(kRelaxed)};
    std::memcpy(description.label, label, sizeof label);
    description.label[ThreadDescription::kLabelSize - 1] = '\0';
    break;
  }
  return description;
}

}  // namespace atfork

// lost_threads.cc - see lost_threads.h.
// Runs in:  the forking thread; NoteLostThreads while the others are parked: neither the loader's lock nor that of any
//           other library is taken but libc's, which no parked thread holds.
// Calls:    roll_call, which has seen them all, thread_census, thread_kinds; only for the few that are lost.
#include "runtime/lost_threads.h"

#include <algorithm>
#include <utility>

#include "runtime/roll_call.h"
#include "runtime/thread_kinds.h"

namespace atfork::runtime {
namespace {

// Main thread only.
std::vector<ThreadListing> lost;

bool Agrees(const std::optional<std::string>& wanted, const std::string& found) {
  return !wanted.has_value() || *wanted == found;
}

bool IsAllowed(const ThreadListing& thread, const LostThreadsOptions& options) {
  return std::any_of(options.allowed.begin(), options.allowed.end(), [&thread](const ThreadPattern& pattern) {
    return Agrees(pattern.kind, thread.what.kind) && Agrees(pattern.module, thread.module) &&
           Agrees(pattern.name, thread.record.name);
  });
}

void Note(pid_t tid, const LostThreadsOptions& options) {
  ThreadRecord record;
  if (!ReadThread(TaskFolder(), tid, &park_signal.layout->thread, &record) || record.is_ending) return;
  // io_uring's hold no lock of this process's.
  if (record.is_kernel_s && !options.count_all) return;
  ThreadListing thread = {record, park_signal.modules.NameOf(record.start_routine), ClassifyKnownThread(record)};
  if (!IsAllowed(thread, options)) lost.push_back(std::move(thread));
}

}  // namespace

void PrepareLostThreads(const LostThreadsOptions& options) {
  lost.clear();
  if (!options.look || !options.count_all) return;
  // So that the kinds of the runtime's threads are known.
  const auto all = ListThreads();
  static_cast<void>(all);
}

Status NoteLostThreads(const LostThreadsOptions& options) {
  if (!options.look) return Unit{};
  for (const ParkedThread* thread : Participants()) {
    if (thread->state.load() != ParkState::kParked) continue;
    if (options.count_all || thread->role != ThreadRole::kRuntime) Note(thread->tid, options);
  }
  if (options.count_all) {
    const auto& parked = Participants();
    for (const pid_t tid : PoolThreads()) {
      const bool noted =
          std::any_of(parked.begin(), parked.end(), [tid](const auto* each) { return each->tid == tid; });
      if (!noted) Note(tid, options);
    }
  }
  for (const pid_t tid : OtherThreads()) Note(tid, options);
  if (lost.empty() || !options.refuse) return Unit{};
  return Error::Refused("ERR_ATFORK_MULTITHREADED", "quiesce", {});
}

const std::vector<ThreadListing>& LostThreads() { return lost; }

}  // namespace atfork::runtime

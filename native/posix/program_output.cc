// program_output.cc - see program_output.h.
// Calls:    poll(2), read(2), write(2), fcntl(2), and those of child_end.h. SIGPIPE is ignored in every process of
// Node's.
//           Allocates.
// man: poll(2), pipe(7), pidfd_open(2).
#include "posix/program_output.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cmath>
#include <utility>

#include "posix/process_state.h"

namespace atfork {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

// Between two looks at a child of which no pidfd tells: there is none, or a debugger has the child.
constexpr double kNapMs = 10;
constexpr size_t kChunk = 64 * 1024;
// Of one descriptor before it is the others' turn, and the clock's: more than a pipe holds.
constexpr int kMostChunks = 17;

// Holds off fork() for as long as it lives.
class Section {
 public:
  Section() : entered_(GetProcessState()->fork_permit.Enter(&ThisThread())) {}
  ~Section() {
    if (entered_) GetProcessState()->fork_permit.Leave(&ThisThread());
  }
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

 private:
  const bool entered_;
};

class Gatherer {
 public:
  Gatherer(StartedChild child, const std::string& input, const ProgramLimits& limits)
      : child_(std::move(child)), input_(input), limits_(limits) {
    gathered_.output.resize(child_.stdio.size());
    for (size_t i = 0; i < child_.stdio.size(); ++i) {
      const int fd = child_.stdio[i].get();
      if (fd < 0) continue;
      fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
      if (i != 0) gathered_.output[i].emplace();
    }
    if (input_.empty() && !child_.stdio.empty()) child_.stdio[0].reset();
    if (limits_.timeout_ms > 0) deadline_ = Clock::now() + Milliseconds(limits_.timeout_ms);
  }

  Result<ProgramOutput> Run() {
    for (;;) {
      Status reaped = Reap();
      if (!reaped) return reaped.error();
      // After that: what it has said to its end is there already.
      Transfer();
      KeepTime();
      if (has_ended_ && (killed_ || !IsReading())) return std::move(gathered_);
      Status waited = Wait();
      if (!waited) return Abandon(waited.error());
    }
  }

 private:
  bool IsReading() const {
    for (size_t i = 1; i < child_.stdio.size(); ++i) {
      if (child_.stdio[i]) return true;
    }
    return false;
  }

  Status Reap() {
    if (has_ended_) return Unit{};
    auto reaped = ReapChild(child_.pid, child_.pidfd.get());
    if (!reaped) return reaped.error();
    if (!reaped.value().has_value()) return Unit{};
    gathered_.end = *reaped.value();
    has_ended_ = true;
    return Unit{};
  }

  // The limit goes for those who have its pipes, too, when it has ended.
  void KeepTime() {
    if (!deadline_ || Clock::now() < *deadline_) return;
    deadline_.reset();
    if (killed_) {
      if (!has_ended_) SignalChild(child_.pid, child_.pidfd.get(), SIGKILL);
      return;
    }
    if (has_ended_ && !IsReading()) return;
    gathered_.timed_out = true;
    Kill();
  }

  void Kill() {
    killed_ = true;
    deadline_.reset();
    if (has_ended_) return;
    SignalChild(child_.pid, child_.pidfd.get(), limits_.kill_signal);
    if (limits_.grace_ms >= 0) deadline_ = Clock::now() + Milliseconds(limits_.grace_ms);
  }

  Status Wait() {
    polled_.clear();
    for (size_t i = 0; i < child_.stdio.size(); ++i) {
      if (child_.stdio[i]) polled_.push_back({child_.stdio[i].get(), static_cast<short>(i == 0 ? POLLOUT : POLLIN), 0});
    }
    // One that has been ready, and could not be reaped, would be so again and again.
    const bool tells = child_.pidfd && !has_been_ready_;
    if (!has_ended_ && tells) polled_.push_back({child_.pidfd.get(), POLLIN, 0});
    double wait_ms = !has_ended_ && !tells ? kNapMs : -1;
    has_been_ready_ = false;
    if (deadline_) {
      const double left = std::max(0.0, Milliseconds(*deadline_ - Clock::now()).count());
      wait_ms = wait_ms < 0 ? left : std::min(wait_ms, left);
    }
    const double whole = std::min(std::ceil(wait_ms), static_cast<double>(INT_MAX));
    if (poll(polled_.data(), polled_.size(), static_cast<int>(whole)) < 0 && errno != EINTR) {
      return Error::Errno("poll", "wait");
    }
    has_been_ready_ = !has_ended_ && tells && polled_.back().revents != 0;
    return Unit{};
  }

  // What there is, without waiting.
  void Transfer() {
    if (!child_.stdio.empty() && child_.stdio[0]) Feed();
    for (size_t i = 1; i < child_.stdio.size(); ++i) {
      if (child_.stdio[i]) Take(i);
    }
  }

  void Feed() {
    UniqueFd& fd = child_.stdio[0];
    while (fed_ < input_.size()) {
      const ssize_t written = write(fd.get(), input_.data() + fed_, input_.size() - fed_);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0 && errno == EAGAIN) return;
      // EPIPE: it does not want any more.
      if (written < 0) break;
      fed_ += static_cast<size_t>(written);
    }
    fd.reset();
  }

  void Take(size_t index) {
    UniqueFd& fd = child_.stdio[index];
    std::string& output = *gathered_.output[index];
    for (int i = 0; i < kMostChunks; ++i) {
      const size_t before = output.size();
      output.resize(before + kChunk);
      ssize_t length;
      do {
        length = read(fd.get(), &output[before], kChunk);
      } while (length < 0 && errno == EINTR);
      const bool waits = length < 0 && errno == EAGAIN;
      output.resize(before + static_cast<size_t>(std::max<ssize_t>(length, 0)));
      if (waits) return;
      taken_ += output.size() - before;
      const bool overflows = (limits_.max_buffer_of_all ? taken_ : output.size()) > limits_.max_buffer;
      if (length > 0 && !overflows) continue;
      // In this order: what is written to a pipe that nobody reads is answered with SIGPIPE.
      if (overflows) Overflow(index);
      fd.reset();
      return;
    }
  }

  void Overflow(size_t index) {
    if (gathered_.overflowed < 0) gathered_.overflowed = static_cast<int>(index);
    if (!killed_) Kill();
  }

  Error Abandon(Error error) {
    if (!has_ended_) KillAndReap(child_.pid, child_.pidfd.get());
    return error;
  }

  StartedChild child_;
  const std::string& input_;
  const ProgramLimits limits_;
  ProgramOutput gathered_;
  std::optional<std::chrono::time_point<Clock, Milliseconds>> deadline_;  // to kill_signal, then to SIGKILL
  std::vector<pollfd> polled_;
  size_t fed_ = 0;
  size_t taken_ = 0;  // from all
  bool has_ended_ = false;
  bool killed_ = false;
  bool has_been_ready_ = false;
};

}  // namespace

Result<ProgramOutput> GatherOutput(StartedChild child, const std::string& input, const ProgramLimits& limits) {
  const Section section;
  Gatherer gatherer(std::move(child), input, limits);
  return gatherer.Run();
}

}  // namespace atfork

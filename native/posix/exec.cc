// exec.cc - replace the program of this process, from a running one with threads.
// Runs in:  the parent or a complete child, the main thread. Not for the child zone: it allocates.
// Calls:    fcntl(2), sigaction(2), pthread_sigmask(3), execve(2). All other threads end inside execve, at its point of
//           no return; until then they run, and a failed execve must leave them undisturbed.
//
// The new program starts as one that child_process.spawn started: no signal blocked or ignored, fds 0-2 open, and every
// other descriptor closed by its own O_CLOEXEC, which Node sets on all that it opens.
// Node's process.execve (22.15 and later) differs in one thing: it leaves SIGPIPE and SIGXFSZ ignored, as Node itself
// runs, so `yes | head` in the new program would not end. As there, O_NONBLOCK and termios of fds 0-2 stay as they are:
// they belong to the open file description, which a forked child shares with its parent. The soft RLIMIT_NOFILE that
// Node raised at its start stays raised, as it does for spawn.
#include "posix/exec.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

namespace atfork {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Each of the three guards prepares one thing for the new program, and puts it back when execve(2) has failed.

// Node sets O_CLOEXEC on stdio too. A descriptor that is closed stays closed.
class StdioStaysOpen {
 public:
  StdioStaysOpen() {
    for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
      flags_[fd] = fcntl(fd, F_GETFD);
      if (flags_[fd] >= 0) fcntl(fd, F_SETFD, flags_[fd] & ~FD_CLOEXEC);
    }
  }
  ~StdioStaysOpen() {
    for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
      if (flags_[fd] >= 0) fcntl(fd, F_SETFD, flags_[fd]);
    }
  }

 private:
  int flags_[STDERR_FILENO + 1];
};

void Nothing(int) {}

// An ignored signal stays ignored across exec, a caught one becomes the default. So catch the ignored ones, with a
// handler that does nothing: set to the default here, SIGPIPE would kill the process if another thread wrote to a
// closed pipe before the exec, or before it failed.
class IgnoredBecomeDefault {
 public:
  IgnoredBecomeDefault() {
    struct sigaction caught = {};
    caught.sa_handler = Nothing;
    caught.sa_flags = SA_RESTART | SA_ONSTACK;
    sigemptyset(&caught.sa_mask);
    for (int signal = 1; signal < NSIG; ++signal) {
      struct sigaction& old = old_[signal];
      // Fails for the signals that libc keeps to itself.
      if (sigaction(signal, nullptr, &old) != 0) continue;
      was_ignored_[signal] = (old.sa_flags & SA_SIGINFO) == 0 && old.sa_handler == SIG_IGN;
      if (was_ignored_[signal]) sigaction(signal, &caught, nullptr);
    }
  }
  ~IgnoredBecomeDefault() {
    for (int signal = 1; signal < NSIG; ++signal) {
      if (was_ignored_[signal]) sigaction(signal, &old_[signal], nullptr);
    }
  }

 private:
  struct sigaction old_[NSIG];
  bool was_ignored_[NSIG] = {};
};

class NoSignalBlocked {
 public:
  NoSignalBlocked() {
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, &old_);
  }
  ~NoSignalBlocked() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }

 private:
  sigset_t old_;
};

}  // namespace

Error ExecInPlace(const std::string& file, const std::vector<std::string>& args, const std::vector<std::string>& env) {
  const std::vector<char*> argv = Pointers(args);
  const std::vector<char*> envp = Pointers(env);
  const StdioStaysOpen stdio;
  const IgnoredBecomeDefault dispositions;
  const NoSignalBlocked mask;
  execve(file.c_str(), argv.data(), envp.data());
  return Error::Errno("execve", "exec");
}

}  // namespace atfork

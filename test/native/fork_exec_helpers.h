// fork_exec_helpers.h - what the tests of ForkExec share.
#ifndef ATFORK_TEST_NATIVE_FORK_EXEC_HELPERS_H_
#define ATFORK_TEST_NATIVE_FORK_EXEC_HELPERS_H_

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "posix/fork_exec.h"
#include "test.h"

namespace atfork::test {

inline const std::vector<ExecMeans>& AllMeans() {
  static const std::vector<ExecMeans> means = [] {
    std::vector<ExecMeans> all;
    for (const bool vfork : {true, false}) {
      all.push_back({vfork, true, true, true});
      all.push_back({vfork, false, true, true});
      all.push_back({vfork, true, false, true});
      all.push_back({vfork, true, false, false});
    }
    return all;
  }();
  return means;
}

inline ExecOptions Shell(const std::string& script) {
  ExecOptions options;
  options.file = "/bin/sh";
  options.args = {"sh", "-c", script};
  options.env = {"PATH=/usr/bin:/bin"};
  options.stdio = {{Stdio::kNull, -1}, {Stdio::kOutput, -1}, {Stdio::kInherit, 2}};
  return options;
}

inline std::string ReadAll(int fd) {
  std::string text;
  char buffer[512];
  for (ssize_t length; (length = read(fd, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(length));
  return text;
}

inline int Wait(const StartedChild& child) {
  int status = -1;
  CHECK_EQ(waitpid(child.pid, &status, 0), child.pid);
  return status;
}

// What the program writes to its standard output. It ends with 0.
inline std::string OutputOf(ExecOptions options, const ExecMeans& means = {}) {
  Result<StartedChild> started = ForkExec(std::move(options), means);
  if (!started) {
    const Error& error = started.error();
    Fail(__FILE__, __LINE__, std::string(error.stage) + " " + strerror(error.errnum) + " " + error.detail);
  }
  const StartedChild& child = started.value();
  const std::string text = ReadAll(child.stdio[1].get());
  CHECK_EQ(Wait(child), 0);
  return text;
}

// Of proc(5)'s status: which are blocked, ignored and caught.
inline std::string SignalsIn(const std::string& status) {
  std::string found;
  std::istringstream stream(status);
  for (std::string line; std::getline(stream, line);) {
    const std::string name = line.substr(0, 7);
    if (name == "SigBlk:" || name == "SigIgn:" || name == "SigCgt:") found += line + "\n";
  }
  return found;
}

inline std::set<std::string> LinesOf(const std::string& text) {
  std::set<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.insert(line);
  return lines;
}

inline std::set<int> OpenFds() {
  std::set<int> fds;
  for (int fd = 0; fd < 1024; ++fd) {
    if (fcntl(fd, F_GETFD) != -1) fds.insert(fd);
  }
  return fds;
}

inline void CheckFails(ExecOptions options, int errnum, const std::string& stage, const std::string& detail,
                       const ExecMeans& means = {}) {
  const std::set<int> before = OpenFds();
  Result<StartedChild> started = ForkExec(std::move(options), means);
  CHECK(!started);
  CHECK_EQ(started.error().errnum, errnum);
  CHECK_EQ(std::string(started.error().stage), stage);
  CHECK_EQ(started.error().detail, detail);
  CHECK(OpenFds() == before);
  CHECK_EQ(waitpid(-1, nullptr, 0), -1);
  CHECK_EQ(errno, ECHILD);
}

inline bool IsRoot() { return geteuid() == 0; }

}  // namespace atfork::test

#endif  // ATFORK_TEST_NATIVE_FORK_EXEC_HELPERS_H_

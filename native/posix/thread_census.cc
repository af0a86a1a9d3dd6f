// thread_census.cc - every kernel thread of this process, from /proc/self/task (proc(5)) and from libc's memory.
// Runs in:  the parent or a complete child, any thread.
// Calls:    getdents64(2), openat(2), read(2), dl_iterate_phdr(3), what thread_layout needs.
// Allocates: only in ListThreads.
#include "posix/thread_census.h"

#include <fcntl.h>
#include <link.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string_view>
#include <utility>

#include "child/directory_entry.h"

namespace atfork {
namespace {

using child::DirectoryEntry;

// "<tid>/<file>" without stdio, which may lock and allocate.
class TaskPath {
 public:
  TaskPath(pid_t tid, const char* file) {
    char* at = text_ + kDigits;
    *at = '/';
    std::strncpy(at + 1, file, kFile - 1);
    for (pid_t rest = tid; rest > 0; rest /= 10) *--at = static_cast<char>('0' + rest % 10);
    begin_ = at;
  }
  const char* c_str() const { return begin_; }

 private:
  static constexpr int kDigits = 10;
  static constexpr int kFile = 8;
  char text_[kDigits + 1 + kFile] = {};
  const char* begin_;
};

// The bytes read; empty when the thread is gone.
std::string_view ReadTaskFile(int task_fd, pid_t tid, const char* file, char* into, size_t size) {
  const UniqueFd fd(openat(task_fd, TaskPath(tid, file).c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t length = fd ? read(fd.get(), into, size) : -1;
  return std::string_view(into, length > 0 ? static_cast<size_t>(length) : 0);
}

// Zero for "." and "..".
pid_t ParseTid(const char* name) {
  pid_t tid = 0;
  for (; *name >= '0' && *name <= '9'; ++name) tid = tid * 10 + (*name - '0');
  return tid;
}

int MatchModule(dl_phdr_info* info, size_t, void* data) {
  auto& [address, module] = *static_cast<std::pair<uintptr_t, ModuleRef>*>(data);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    const uintptr_t end = begin + segment.p_memsz;
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0 || address < begin || address >= end) continue;
    module.begin = begin;
    module.end = end;
    module.is_program = info->dlpi_name[0] == '\0';
    const char* slash = std::strrchr(info->dlpi_name, '/');
    // Copied while the loader's lock is held: a dlclose elsewhere frees the name.
    std::strncpy(module.name, slash == nullptr ? info->dlpi_name : slash + 1, sizeof module.name - 1);
    return 1;
  }
  return 0;
}

// The `flags` of proc(5): the seventh field after the name and the state's.
uint64_t ParseFlags(std::string_view after_state) {
  constexpr int kFieldsBetween = 5;
  size_t at = 0;
  for (int spaces = 0; at < after_state.size(); ++at) {
    if (after_state[at] == ' ' && ++spaces > kFieldsBetween) break;
  }
  uint64_t flags = 0;
  for (++at; at < after_state.size() && after_state[at] >= '0' && after_state[at] <= '9'; ++at) {
    flags = flags * 10 + static_cast<uint64_t>(after_state[at] - '0');
  }
  return flags;
}

// include/linux/sched.h. These two are where they were when they came (2.6.11, 5.12).
constexpr uint64_t kExiting = 0x4;
constexpr uint64_t kIoWorker = 0x10;

// Of the process; set at load, read by any thread.
std::atomic<ThreadClassifier> classify{ClassifyByModule};

}  // namespace

Result<UniqueFd> OpenTaskDirectory() {
  UniqueFd fd(open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return Error::Errno("open", "census");
  return Result<UniqueFd>(std::move(fd));
}

Status ForEachThread(int task_fd, bool (*visit)(pid_t tid, void* context), void* context) {
  if (lseek(task_fd, 0, SEEK_SET) < 0) return Error::Errno("lseek", "census");
  alignas(DirectoryEntry) char buffer[4096];
  for (;;) {
    const long length = syscall(SYS_getdents64, task_fd, buffer, sizeof buffer);
    if (length < 0) return Error::Errno("getdents64", "census");
    if (length == 0) return Unit{};
    for (long at = 0; at < length;) {
      const auto* entry = reinterpret_cast<const DirectoryEntry*>(buffer + at);
      at += entry->length;
      const pid_t tid = ParseTid(entry->name);
      if (tid > 0 && !visit(tid, context)) return Unit{};
    }
  }
}

bool ReadThread(int task_fd, pid_t tid, const ThreadLayout* layout, ThreadRecord* record) {
  *record = {};
  record->tid = tid;
  // The name comes from comm, where a trailing newline is all that is not part of it. In stat it stands in parentheses,
  // unescaped, and may hold spaces and parentheses itself: the state follows the last ')'.
  char text[512];
  const std::string_view comm = ReadTaskFile(task_fd, tid, "comm", text, sizeof record->name);
  if (comm.empty()) return false;
  std::memcpy(record->name, comm.data(), comm.size() - 1);
  const std::string_view stat = ReadTaskFile(task_fd, tid, "stat", text, sizeof text);
  const size_t close = stat.rfind(')');
  if (close == std::string_view::npos || close + 2 >= stat.size()) return false;
  record->state = stat[close + 2];
  const uint64_t flags = ParseFlags(stat.substr(close + 3));
  record->is_ending = (flags & kExiting) != 0;
  record->is_kernel_s = (flags & kIoWorker) != 0;
  if (layout != nullptr) {
    record->pd = FindDescriptor(*layout, tid);
    if (tid != getpid()) record->start_routine = StartRoutineOf(*layout, record->pd);
  }
  return true;
}

ModuleRef FindModule(uintptr_t address) {
  std::pair<uintptr_t, ModuleRef> wanted{address, {}};
  if (address != 0) dl_iterate_phdr(MatchModule, &wanted);
  return wanted.second;
}

// Not argv[0]: setting process.title overwrites it.
std::string ProgramName() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  if (length <= 0) return {};
  std::string_view name(path, static_cast<size_t>(length));
  name.remove_prefix(name.rfind('/') + 1);
  constexpr std::string_view kDeleted = " (deleted)";
  if (name.size() > kDeleted.size() && name.substr(name.size() - kDeleted.size()) == kDeleted) {
    name.remove_suffix(kDeleted.size());
  }
  return std::string(name);
}

ThreadClass ClassifyByModule(const ThreadRecord& record) {
  if (record.tid == getpid()) return {"main", "kept"};
  return {record.module.is_program ? "runtime" : "foreign", "lost"};
}

void SetThreadClassifier(ThreadClassifier classifier) { classify.store(classifier); }

Result<std::vector<ThreadListing>> ListThreads() {
  const Result<UniqueFd> directory = OpenTaskDirectory();
  if (!directory.ok()) return directory.error();
  const int task_fd = directory.value().get();

  std::vector<pid_t> tids;
  const Status listed = ForEachThread(
      task_fd,
      [](pid_t tid, void* context) {
        static_cast<std::vector<pid_t>*>(context)->push_back(tid);
        return true;
      },
      &tids);
  if (!listed.ok()) return listed.error();

  const Result<ThreadLayout> layout = LearnThreadLayout();
  const std::string program = ProgramName();
  std::vector<ThreadListing> listings;
  for (const pid_t tid : tids) {
    ThreadRecord record;
    if (!ReadThread(task_fd, tid, layout.ok() ? &layout.value() : nullptr, &record) || record.is_ending) continue;
    record.module = FindModule(record.start_routine);
    const bool in_program = tid == getpid() || record.module.is_program;
    std::string module = in_program ? program : record.module.name;
    const ThreadClass what = classify.load()(record);
    listings.push_back({record, std::move(module), what});
  }
  return listings;
}

}  // namespace atfork

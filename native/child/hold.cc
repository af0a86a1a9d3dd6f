// hold.cc - see hold.h.
// Runs in:  the child; Hold on a thread being brought back, Release on the forking thread.
// Calls:    futex(2), open(2), read(2), close(2), getdents64(2), all as raw system calls.
// Rests on: proc(5): /proc/self/task/TID/stat (state), /proc/self/task/TID/syscall (number, arguments).
#include "child/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "child/directory_entry.h"

namespace atfork::child {
namespace {

constexpr long kLookIntervalNs = 1000000;  // 1 ms
// So many looks at a sleeping forking thread: it is stuck, not waiting for the garbage collector's helpers. One at
// which it runs makes up for a few: who waits for a lock of Abseil's spins and naps in turn
// (absl::Mutex::LockSlowLoop).
constexpr int kStuckLooks = 100;
constexpr int kRunningWeight = 3;
// So many looks in all, 5 s: whatever it is doing.
constexpr int kMostLooks = 5 * 1000;
// So many looks at an outer Worker that is free and does not wait for its own: it may be stuck on one of them.
constexpr int kJoinLooks = 20;

long ReadFile(const char* path, char* buffer, size_t capacity) {
  const int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
  if (fd < 0) return -1;
  const long length = syscall(SYS_read, fd, buffer, capacity - 1);
  syscall(SYS_close, fd);
  if (length >= 0) buffer[length] = '\0';
  return length;
}

// "/proc/self/task/<name>/<file>" without stdio.
void TaskPath(char* path, const char* name, const char* file) {
  const char* const parts[] = {"/proc/self/task/", name, file};
  for (const char* part : parts) {
    while (*part != '\0') *path++ = *part++;
  }
  *path = '\0';
}

void Decimal(long value, char* text) {
  char reversed[24];
  int digits = 0;
  do {
    reversed[digits++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (digits > 0) *text++ = reversed[--digits];
  *text = '\0';
}

// The forking thread is the child's initial thread: its id is the process's.
bool ForkerSleeps() {
  char number[24], path[64], text[512];
  Decimal(syscall(SYS_getpid), number);
  TaskPath(path, number, "/stat");
  const long length = ReadFile(path, text, sizeof text);
  for (long i = length - 2; i > 0; --i) {
    if (text[i] == ')') return text[i + 2] == 'S';  // the state follows the last parenthesis
  }
  return true;  // cannot be told: rather let it run than hang
}

uintptr_t Hexadecimal(const char* text) {
  uintptr_t value = 0;
  for (;; ++text) {
    if (*text >= '0' && *text <= '9') {
      value = value * 16 + static_cast<uintptr_t>(*text - '0');
    } else if (*text >= 'a' && *text <= 'f') {
      value = value * 16 + static_cast<uintptr_t>(*text - 'a') + 10;
    } else {
      return value;
    }
  }
}

// Does any thread wait on the word that the kernel clears at this thread's end? That is what pthread_join(3) does.
bool IsJoined(const RestartRecord* record) {
  const int directory =
      static_cast<int>(syscall(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory < 0) return true;  // cannot be told: rather let it end than hang
  char entries[2048], path[64], text[256], futex_number[24];
  Decimal(SYS_futex, futex_number);
  bool joined = false;
  long length;
  while (!joined && (length = syscall(SYS_getdents64, directory, entries, sizeof entries)) > 0) {
    for (long at = 0; at < length && !joined;) {
      const auto* entry = reinterpret_cast<const DirectoryEntry*>(entries + at);
      at += entry->length;
      TaskPath(path, entry->name, "/syscall");
      const long got = ReadFile(path, text, sizeof text);
      if (got <= 0) {
        // After setuid(2) the process's own files there may be root's. But a thread that has ended joins nobody.
        joined = got < 0 && (errno == EACCES || errno == EPERM);
        continue;
      }
      const size_t digits = strlen(futex_number);
      joined = memcmp(text, futex_number, digits) == 0 && text[digits] == ' ' &&
               Hexadecimal(text + digits + 3) == reinterpret_cast<uintptr_t>(record->cleared_tid);
    }
  }
  syscall(SYS_close, directory);
  return joined;
}

// Until Release, or the next look.
void Pause(RestartRecord* record) {
  const struct timespec interval = {0, kLookIntervalNs};
  const uint32_t seen = __atomic_load_n(&record->go, __ATOMIC_ACQUIRE);
  syscall(SYS_futex, &record->go, FUTEX_WAIT_PRIVATE, seen, &interval, nullptr, 0);
}

}  // namespace

void Hold(RestartRecord* record) {
  int sleeping = 0;
  for (int looks = 0; looks < kMostLooks && sleeping < kStuckLooks; ++looks) {
    if (__atomic_load_n(&record->go, __ATOMIC_ACQUIRE) != 0) break;
    Pause(record);
    sleeping += ForkerSleeps() ? 1 : -kRunningWeight;
    if (sleeping < 0) sleeping = 0;
  }
  if (!record->until_joined) return;
  for (int looks = 0; looks < kJoinLooks && !IsJoined(record); ++looks) Pause(record);
}

void Release(RestartRecord* record) {
  __atomic_store_n(&record->go, 1, __ATOMIC_RELEASE);
  syscall(SYS_futex, &record->go, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace atfork::child

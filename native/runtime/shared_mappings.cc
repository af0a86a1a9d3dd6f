// shared_mappings.cc - see shared_mappings.h.
// Runs in:  Note in the parent, Copy in the child, on the forking thread.
// Calls:    proc(5): self/maps; private_copy.
// Rests on: a mapping that is not writable now stays so until its Worker has ended.
#include "runtime/shared_mappings.h"

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "posix/private_copy.h"
#include "posix/process_state.h"
#include "runtime/fork_verdict.h"

namespace atfork::runtime {
namespace {

struct Mapping {
  uintptr_t begin;
  size_t bytes;
};

// Forking thread only; one fork's.
std::vector<Mapping> noted;

bool BeginsWith(const char* text, const char* begin) { return std::strncmp(text, begin, std::strlen(begin)) == 0; }

// Memory that is not plain: what is in it is more than its bytes.
bool IsDevice(const char* name) {
  return BeginsWith(name, "/dev/") && !BeginsWith(name, "/dev/shm/") && !BeginsWith(name, "/dev/zero");
}

// Pages of locks, which native code keeps such threads from (posix/shared_lock.h); and memory that only the main
// thread's JavaScript has.
bool IsOurs(uintptr_t begin) {
  ProcessState& state = *GetProcessState();
  const void* const memory = reinterpret_cast<const void*>(begin);
  return IsVerdictMapping(begin) || state.shared_locks.IsPage(memory) || state.shared_memory.IsMainThreads(memory);
}

Status NoteMapping(const char* line, bool may_copy) {
  Mapping mapping;
  uintptr_t end;
  char permissions[5];
  int name_at = 0;
  if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*s %*u %n", &mapping.begin, &end, permissions, &name_at) <
          3 ||
      permissions[1] != 'w' || permissions[3] != 's' || IsOurs(mapping.begin)) {
    return Unit{};
  }
  const char* const name = line + name_at;
  if (BeginsWith(name, "anon_inode:[io_uring]")) return Unit{};  // loop_rings'
  mapping.bytes = end - mapping.begin;
  noted.push_back(mapping);
  if (may_copy && !IsDevice(name)) return Unit{};
  std::string detail(name, std::strcspn(name, "\n"));
  if (may_copy) detail += " cannot be copied";
  return Error::Refused("ERR_ATFORK_SHARED_MAPPING", "heap", detail);
}

}  // namespace

Status NoteSharedMappings(bool may_copy) {
  noted.clear();
  std::FILE* const maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) return Error::Errno("open", "heap");
  Status noting = Unit{};
  char line[4096 + 256];
  while (noting && std::fgets(line, sizeof line, maps) != nullptr) noting = NoteMapping(line, may_copy);
  std::fclose(maps);
  return noting;
}

int CopySharedMappings() {
  for (const Mapping& mapping : noted) {
    const int error = ReplaceByPrivateCopy(reinterpret_cast<void*>(mapping.begin), mapping.bytes);
    if (error != 0) return error;
  }
  return 0;
}

}  // namespace atfork::runtime

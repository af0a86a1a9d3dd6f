// private_copy.cc - see private_copy.h.
// Runs in:  a forked child, its only thread.
// Calls:    mmap(2), mremap(2), process_vm_readv(2) (through ReadOwnMemory: reading past a file's end would be SIGBUS).
// Rests on: MREMAP_FIXED replaces what is mapped there.
#include "posix/private_copy.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "posix/thread_layout.h"

namespace atfork {
namespace {

constexpr size_t kChunk = 1024 * 1024;

void Copy(char* to, const char* from, size_t bytes, size_t page) {
  for (size_t done = 0; done < bytes; done += kChunk) {
    const size_t length = std::min(kChunk, bytes - done);
    if (ReadOwnMemory(reinterpret_cast<uintptr_t>(from) + done, to + done, length)) continue;
    for (size_t at = done; at < done + length; at += page) {
      ReadOwnMemory(reinterpret_cast<uintptr_t>(from) + at, to + at, page);
    }
  }
}

}  // namespace

int ReplaceByPrivateCopy(void* begin, size_t bytes) {
  void* const copy = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (copy == MAP_FAILED) return errno;
  Copy(static_cast<char*>(copy), static_cast<const char*>(begin), bytes, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  if (mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, begin) != MAP_FAILED) return 0;
  const int error = errno;
  munmap(copy, bytes);
  return error;
}

}  // namespace atfork

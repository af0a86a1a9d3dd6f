// glibc_layout.cc - finds glibc's thread bookkeeping, and checks each thing it believes.
// Runs in:  the parent, main thread, once at load; the readers on any thread.
// Calls:    dlsym(3), get_robust_list(2), prctl(2) PR_GET_TID_ADDRESS, process_vm_readv(2).
// Rests on: nptl_db/structs.def and nptl/descr.h of glibc 2.34 and later.
#include "runtime/glibc_layout.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <linux/futex.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#define AT_RSEQ_ALIGN 28
#endif

namespace atfork::runtime {
namespace {

Error Unsupported(std::string detail) { return Error::Refused("ERR_ATFORK_UNSUPPORTED", "load", std::move(detail)); }

// A debugger descriptor of a field: {size in bits, number of elements, offset in bytes}.
bool FieldOffset(const char* symbol, uint32_t* offset) {
  const auto* descriptor = static_cast<const uint32_t*>(dlsym(RTLD_DEFAULT, symbol));
  if (descriptor == nullptr) return false;
  *offset = descriptor[2];
  return true;
}

uintptr_t ThreadPointer() { return reinterpret_cast<uintptr_t>(__builtin_thread_pointer()); }

struct robust_list_head* RobustHead(pid_t tid) {
  struct robust_list_head* head = nullptr;
  size_t length = 0;
  return syscall(SYS_get_robust_list, tid, &head, &length) == 0 ? head : nullptr;
}

bool OnList(ListNode* head, uintptr_t node) {
  ListNode links;
  uintptr_t at = reinterpret_cast<uintptr_t>(head);
  for (int steps = 0; steps < 100000; ++steps) {
    if (!ReadOwnMemory(at, &links, sizeof links)) return false;
    at = reinterpret_cast<uintptr_t>(links.next);
    if (at == node) return true;
    if (at == reinterpret_cast<uintptr_t>(head)) return false;
  }
  return false;
}

// The length that glibc registered with is not exported: since 2.40 it is the kernel's feature size, rounded up to its
// alignment, at least the 32 bytes of the first ABI (sysdeps/unix/sysv/linux/rseq-internal.h).
uint32_t RseqLength() {
  const auto features = static_cast<uint32_t>(getauxval(AT_RSEQ_FEATURE_SIZE));
  const auto align = std::max<uint32_t>(static_cast<uint32_t>(getauxval(AT_RSEQ_ALIGN)), 1);
  return std::max<uint32_t>(32, (features + align - 1) / align * align);
}

}  // namespace

bool ReadOwnMemory(uintptr_t address, void* into, size_t length) {
  struct iovec local = {into, length};
  struct iovec remote = {reinterpret_cast<void*>(address), length};
  return syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0) == static_cast<long>(length);
}

uintptr_t OwnDescriptor(const GlibcLayout& layout) { return ThreadPointer() - layout.thread_pointer_bias; }

uintptr_t DescriptorOf(const GlibcLayout& layout, pid_t tid) {
  struct robust_list_head* head = RobustHead(tid);
  return head == nullptr ? 0 : reinterpret_cast<uintptr_t>(head) - layout.robust_head;
}

Result<GlibcLayout> LoadGlibcLayout() {
  GlibcLayout layout = {};
  const struct {
    const char* symbol;
    uint32_t* offset;
  } fields[] = {
      {"_thread_db_pthread_list", &layout.list},
      {"_thread_db_pthread_tid", &layout.tid},
      {"_thread_db_pthread_specific", &layout.specific},
      {"_thread_db_pthread_start_routine", &layout.start_routine},
  };
  for (const auto& field : fields) {
    if (!FieldOffset(field.symbol, field.offset)) return Unsupported(std::string("libc has no symbol ") + field.symbol);
  }
  uint32_t used = 0, user = 0;
  if (!FieldOffset("_thread_db_rtld_global__dl_stack_used", &used) ||
      !FieldOffset("_thread_db_rtld_global__dl_stack_user", &user)) {
    return Unsupported("libc has no symbol _thread_db_rtld_global__dl_stack_used");
  }
  const auto* size = static_cast<const uint32_t*>(dlsym(RTLD_DEFAULT, "_thread_db_sizeof_pthread"));
  auto* rtld_global = static_cast<char*>(dlsym(RTLD_DEFAULT, "_rtld_global"));
  if (size == nullptr || rtld_global == nullptr) return Unsupported("libc has no symbol _rtld_global");
  layout.size = *size;
  layout.stack_used = reinterpret_cast<ListNode*>(rtld_global + used);
  layout.stack_user = reinterpret_cast<ListNode*>(rtld_global + user);
#if defined(__aarch64__)
  layout.thread_pointer_bias = layout.size;  // TLS_DTV_AT_TP: the descriptor lies just below the thread pointer
#endif

  const uintptr_t self = OwnDescriptor(layout);
  const auto inside = [&](uintptr_t address) { return address >= self && address < self + layout.size; };

  if (*reinterpret_cast<pid_t*>(self + layout.tid) != static_cast<pid_t>(syscall(SYS_gettid))) {
    return Unsupported("struct pthread: the tid field is not gettid()");
  }
  const auto robust = reinterpret_cast<uintptr_t>(RobustHead(0));
  if (!inside(robust)) return Unsupported("struct pthread: the robust list head lies outside");
  layout.robust_head = static_cast<uint32_t>(robust - self);

  int* cleared = nullptr;
  if (prctl(PR_GET_TID_ADDRESS, &cleared, 0, 0, 0) != 0) return Unsupported("prctl(PR_GET_TID_ADDRESS) is not there");
  if (!inside(reinterpret_cast<uintptr_t>(cleared))) {
    return Unsupported("struct pthread: the word that the kernel clears at thread end lies outside");
  }
  layout.cleared_tid = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(cleared) - self);

  const auto* blocks = reinterpret_cast<const uintptr_t*>(self + layout.specific);
  if (blocks[0] != 0 && !inside(blocks[0])) {
    return Unsupported("struct pthread: the first block of thread-specific data lies outside");
  }
  pid_t probe = 0;
  if (!ReadOwnMemory(self + layout.tid, &probe, sizeof probe)) {
    return Unsupported(std::string("process_vm_readv on the own process failed, errno ") + std::to_string(errno));
  }
  // The initial thread's stack is not glibc's: it stands on the list of user stacks.
  if (!OnList(layout.stack_user, self + layout.list) && !OnList(layout.stack_used, self + layout.list)) {
    return Unsupported("the main thread is on none of glibc's stack lists");
  }

  const auto* rseq_offset = static_cast<const ptrdiff_t*>(dlsym(RTLD_DEFAULT, "__rseq_offset"));
  const auto* rseq_size = static_cast<const unsigned*>(dlsym(RTLD_DEFAULT, "__rseq_size"));
  if (rseq_offset != nullptr && rseq_size != nullptr && *rseq_size != 0) {
    layout.rseq_offset = *rseq_offset;
    layout.rseq_length = RseqLength();
  }
  return layout;
}

}  // namespace atfork::runtime

// glibc_layout.cc - finds glibc's thread bookkeeping, and checks each thing it believes.
// Runs in:  the parent, main thread, once at load; the checks on a thread that lives as long as they take.
// Calls:    pthread_create(3), pthread_join(3); get_robust_list(2), prctl(2) PR_GET_TID_ADDRESS, rseq(2),
//           process_vm_readv(2).
// Rests on: nptl_db/structs.def, nptl/descr.h, nptl/pthread_create.c and rseq-internal.h of glibc 2.31, 2.36, 2.41 and
//           the development branch three weeks before 2.43.
#include "runtime/glibc_layout.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "child/thread_restart.h"
#include "posix/libc_symbols.h"

namespace atfork::runtime {
namespace {

// More than libc keeps for later of the stacks of threads that have ended (40 MB, glibc.pthread.stack_cache_size), so
// that this one is unmapped. One that is kept is a page more for every fork(3) to copy, and for its child to write to.
constexpr size_t kUncachedStackBytes = 64 * 1024 * 1024;

// The least that the kernel takes: the first version of struct rseq.
constexpr uint32_t kLeastRseqLength = 32;

Error Unsupported(std::string detail) { return Error::Refused("ERR_ATFORK_UNSUPPORTED", "load", std::move(detail)); }

uintptr_t ThreadPointer() { return reinterpret_cast<uintptr_t>(__builtin_thread_pointer()); }

template <typename T>
T* MutableSymbol(const char* name) {
  return static_cast<T*>(const_cast<void*>(FindLibcSymbol(name)));
}

Result<uint32_t> FindSize(const char* symbol) {
  const auto* const bytes = static_cast<const uint32_t*>(FindLibcSymbol(symbol));
  if (bytes == nullptr) return Unsupported(std::string("libc has no symbol ") + symbol);
  return *bytes;
}

Status FindFields(GlibcLayout* layout) {
  const struct {
    const char* symbol;
    uint32_t bytes;
    uint32_t* offset;
  } fields[] = {
      {"_thread_db_pthread_list", sizeof(ListNode), &layout->list},
      {"_thread_db_pthread_tid", sizeof(pid_t), &layout->tid},
      {"_thread_db_pthread_specific", kKeyBlocks * sizeof(KeyData*), &layout->specific},
  };
  for (const auto& field : fields) {
    const Result<uint32_t> offset = FindLibcField(field.symbol, field.bytes);
    if (!offset) return offset.error();
    *field.offset = offset.value();
  }
  const Result<uint32_t> size = FindSize("_thread_db_sizeof_pthread");
  if (!size) return size.error();
  layout->size = size.value();
  const Result<uint32_t> block = FindSize("_thread_db_sizeof_pthread_key_data_level2");
  if (!block) return block.error();
  if (block.value() != kKeysPerBlock * sizeof(KeyData)) {
    return Unsupported("libc has other blocks of thread-specific data");
  }
  return Unit{};
}

// Since 2.33 the lists are in the loader's `_rtld_global`; before, variables of libpthread's.
Status FindStackLists(GlibcLayout* layout) {
  const Result<uint32_t> used = FindLibcField("_thread_db_rtld_global__dl_stack_used", sizeof(ListNode));
  const Result<uint32_t> user = FindLibcField("_thread_db_rtld_global__dl_stack_user", sizeof(ListNode));
  auto* const rtld_global = MutableSymbol<char>("_rtld_global");
  if (used && user && rtld_global != nullptr) {
    layout->stack_used = reinterpret_cast<ListNode*>(rtld_global + used.value());
    layout->stack_user = reinterpret_cast<ListNode*>(rtld_global + user.value());
  } else {
    layout->stack_used = MutableSymbol<ListNode>("stack_used");
    layout->stack_user = MutableSymbol<ListNode>("__stack_user");
  }
  if (layout->stack_used == nullptr || layout->stack_user == nullptr) {
    return Unsupported("libc has neither of the symbols _thread_db_rtld_global__dl_stack_used and stack_used");
  }
  return Unit{};
}

bool OnList(ListNode* head, uintptr_t node) {
  ListNode links;
  auto at = reinterpret_cast<uintptr_t>(head);
  for (int steps = 0; steps < 100000; ++steps) {
    if (!ReadOwnMemory(at, &links, sizeof links)) return false;
    at = reinterpret_cast<uintptr_t>(links.next);
    if (at == node) return true;
    if (at == reinterpret_cast<uintptr_t>(head)) return false;
  }
  return false;
}

// Learns what only a thread can tell, on one that pthread_create was given `routine` for. Null, or which assumption
// does not hold.
const char* LearnOnThread(uintptr_t routine, GlibcLayout* layout) {
  const auto self = static_cast<uintptr_t>(pthread_self());
  const auto inside = [&](uintptr_t address) { return address >= self && address < self + layout->size; };

  layout->thread_pointer_bias = static_cast<ptrdiff_t>(ThreadPointer() - self);
  if (layout->thread_pointer_bias < 0 || layout->thread_pointer_bias > static_cast<ptrdiff_t>(layout->size)) {
    return "struct pthread: the thread pointer lies elsewhere";
  }
  const auto tid = static_cast<pid_t>(syscall(SYS_gettid));
  if (*reinterpret_cast<pid_t*>(self + layout->tid) != tid) return "struct pthread: the tid field is not gettid()";
  if (FindDescriptor(layout->thread, tid) != self || !inside(self + layout->thread.robust_head)) {
    return "struct pthread: the robust list head lies outside";
  }
  if (StartRoutineOf(layout->thread, self) != routine) {
    return "struct pthread: the start routine is not the one given to pthread_create, or process_vm_readv(2) fails";
  }
  // Not asked on the main thread: in a process that was itself forked that one has `tid` there, whatever its glibc.
  uintptr_t cleared = 0;
  if (prctl(PR_GET_TID_ADDRESS, &cleared, 0, 0, 0) != 0) return "prctl(PR_GET_TID_ADDRESS) is not there";
  if (!inside(cleared)) return "struct pthread: the word that the kernel clears at thread end lies outside";
  layout->cleared_tid = static_cast<uint32_t>(cleared - self);

  const auto* blocks = reinterpret_cast<const uintptr_t*>(self + layout->specific);
  if (!inside(blocks[0])) return "struct pthread: the first block of thread-specific data lies outside";
  if (!OnList(layout->stack_used, self + layout->list)) return "a new thread is not on glibc's list stack_used";

  if (layout->rseq_length == 0) return nullptr;
  auto* const area = reinterpret_cast<int32_t*>(ThreadPointer() + static_cast<uintptr_t>(layout->rseq_offset));
  if (!child::IsRseqRegistered(area, layout->rseq_length)) {
    return "rseq(2) is not registered where and as long as glibc says";
  }
  return nullptr;
}

struct Learning {
  GlibcLayout* layout;
  const char* mismatch;
};

void* RunLearning(void* argument) {
  auto* const learning = static_cast<Learning*>(argument);
  learning->mismatch = LearnOnThread(reinterpret_cast<uintptr_t>(&RunLearning), learning->layout);
  return nullptr;
}

}  // namespace

uintptr_t OwnDescriptor(const GlibcLayout& layout) {
  return ThreadPointer() - static_cast<uintptr_t>(layout.thread_pointer_bias);
}

Result<GlibcLayout> LoadGlibcLayout() {
  GlibcLayout layout = {};
  const Result<ThreadLayout> thread = LearnThreadLayout();
  if (!thread) return thread.error();
  layout.thread = thread.value();
  Status found = FindFields(&layout);
  if (found) found = FindStackLists(&layout);
  if (!found) return found.error();

  // Before 2.35 there is none. The size is that of the fields in use, 0 when registration failed or is turned off.
  const auto* const rseq_offset = static_cast<const ptrdiff_t*>(FindLibcSymbol("__rseq_offset"));
  const auto* const rseq_size = static_cast<const uint32_t*>(FindLibcSymbol("__rseq_size"));
  if (rseq_offset != nullptr && rseq_size != nullptr && *rseq_size != 0) {
    layout.rseq_offset = *rseq_offset;
    layout.rseq_length = std::max(kLeastRseqLength, *rseq_size);
  }

  Learning learning = {&layout, nullptr};
  pthread_t learner;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kUncachedStackBytes);
  int error = pthread_create(&learner, &attributes, RunLearning, &learning);
  // Where so much address space is not to be had, a kept stack is the smaller evil.
  if (error != 0) error = pthread_create(&learner, nullptr, RunLearning, &learning);
  pthread_attr_destroy(&attributes);
  if (error != 0) return Error::Errno("pthread_create", "load", error);
  pthread_join(learner, nullptr);
  if (learning.mismatch != nullptr) return Unsupported(learning.mismatch);

  // The initial thread's stack is not glibc's: it stands on the list of user stacks.
  const uintptr_t self = OwnDescriptor(layout) + layout.list;
  if (!OnList(layout.stack_user, self) && !OnList(layout.stack_used, self)) {
    return Unsupported("the main thread is on none of glibc's stack lists");
  }
  return layout;
}

}  // namespace atfork::runtime

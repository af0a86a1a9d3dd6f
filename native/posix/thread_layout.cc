// thread_layout.cc - see thread_layout.h.
// Runs in:  the parent or a complete child, any thread.
// Calls:    get_robust_list(2), process_vm_readv(2); LearnThreadLayout what libc_symbols needs.
// Allocates: only in LearnThreadLayout, its error.
//
// get_robust_list(2) leads to a thread's struct, since the list head that libc registers lies inside it, at a distance
// that the calling thread can measure on itself. Where in the struct the start routine lies, libc tells debuggers.
// process_vm_readv(2) on ourselves answers EFAULT where a read would be a SIGSEGV.
#include "posix/thread_layout.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "posix/libc_symbols.h"

namespace atfork {
namespace {

uintptr_t RobustHead(pid_t tid) {
  robust_list_head* head = nullptr;
  size_t length = 0;
  return syscall(SYS_get_robust_list, tid, &head, &length) == 0 ? reinterpret_cast<uintptr_t>(head) : 0;
}

Result<ThreadLayout> Learn() {
  const auto refuse = [](const char* why) { return Error::Refused("ERR_ATFORK_UNSUPPORTED", "census", why); };
  const Result<uint32_t> start_routine = FindLibcField("_thread_db_pthread_start_routine", sizeof(uintptr_t));
  if (!start_routine) return start_routine.error();
  const uintptr_t head = RobustHead(0);
  if (head == 0) return refuse("get_robust_list(2) does not work here");
  // In glibc a pthread_t is the address of the struct; on arm64 the thread pointer is not.
  const auto distance = static_cast<ptrdiff_t>(head - static_cast<uintptr_t>(pthread_self()));
  // The struct has 2-3 KB on every glibc up to 2.43. A head elsewhere is not libc's own.
  constexpr ptrdiff_t kLargestStruct = 8192;
  if (distance <= 0 || distance >= kLargestStruct) return refuse("struct pthread: the robust list head lies outside");
  return ThreadLayout{distance, static_cast<ptrdiff_t>(start_routine.value())};
}

}  // namespace

Result<ThreadLayout> LearnThreadLayout() {
  // Process-wide: it holds for the libc, not for the thread.
  static const Result<ThreadLayout> learned = Learn();
  return learned;
}

uintptr_t FindDescriptor(const ThreadLayout& layout, pid_t tid) {
  const uintptr_t head = RobustHead(tid);
  return head == 0 ? 0 : head - static_cast<uintptr_t>(layout.robust_head);
}

uintptr_t StartRoutineOf(const ThreadLayout& layout, uintptr_t descriptor) {
  uintptr_t routine = 0;
  const uintptr_t place = descriptor + static_cast<uintptr_t>(layout.start_routine);
  return descriptor != 0 && ReadOwnMemory(place, &routine, sizeof routine) ? routine : 0;
}

bool ReadOwnMemory(uintptr_t address, void* into, size_t length) {
  const iovec local = {into, length};
  const iovec remote = {reinterpret_cast<void*>(address), length};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(length);
}

}  // namespace atfork

// confine.cc - see confine.h.
// Runs in:  the child, on the thread to be confined; CanConfine in the parent.
// Calls:    prctl(2) PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP.
// Rests on: seccomp(2), classic BPF; system call numbers of the build architecture.
#include "child/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace atfork::child {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

// The low half of argument n: both architectures are little-endian.
constexpr uint32_t Argument(uint32_t n) {
  return static_cast<uint32_t>(offsetof(struct seccomp_data, args)) + n * sizeof(uint64_t);
}

#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define ANSWER(errnum) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (errnum))
#define ALLOW_CALL(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), ALLOW

// Everything but read and write; those are looked at last, descriptor by descriptor.
constexpr struct sock_filter kFixedRules[] = {
    LOAD(offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
    ANSWER(ECANCELED),
    LOAD(offsetof(struct seccomp_data, nr)),
    // Memory; but of a file only a copy, since what is stored in shared memory no filter sees.
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 5),
    LOAD(Argument(3)),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_SHARED, 0, 2),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 1, 0),
    ANSWER(ECANCELED),
    ALLOW,
    ALLOW_CALL(munmap),
    ALLOW_CALL(mremap),
    ALLOW_CALL(mprotect),
    ALLOW_CALL(madvise),
    ALLOW_CALL(brk),
    ALLOW_CALL(pkey_mprotect),
    // Threads and time.
    ALLOW_CALL(futex),
    ALLOW_CALL(exit),
    ALLOW_CALL(exit_group),
    ALLOW_CALL(sched_yield),
    ALLOW_CALL(sched_getaffinity),
    ALLOW_CALL(gettid),
    ALLOW_CALL(getpid),
    ALLOW_CALL(tgkill),
    ALLOW_CALL(set_robust_list),
    ALLOW_CALL(get_robust_list),
    ALLOW_CALL(rseq),
    ALLOW_CALL(membarrier),
    ALLOW_CALL(restart_syscall),
    ALLOW_CALL(rt_sigreturn),
    // Its signals stay blocked (runtime/park_signal).
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigprocmask, 0, 1),
    ANSWER(0),
    ALLOW_CALL(rt_sigaction),
    ALLOW_CALL(sigaltstack),
    ALLOW_CALL(prctl),
    ALLOW_CALL(getrandom),
    ALLOW_CALL(getrusage),
    ALLOW_CALL(clock_gettime),
    ALLOW_CALL(clock_getres),
    ALLOW_CALL(gettimeofday),
    ALLOW_CALL(uname),
    ALLOW_CALL(sysinfo),
    // It is to end: pauses between attempts that all fail (SQLite's, ten seconds long) are left out.
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_nanosleep, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_nanosleep, 0, 1),
    ANSWER(0),
    // libc makes every thread take part in a change of ids (nptl/nptl_setxid.c) and aborts when one cannot.
    ALLOW_CALL(setuid),
    ALLOW_CALL(setgid),
    ALLOW_CALL(setreuid),
    ALLOW_CALL(setregid),
    ALLOW_CALL(setresuid),
    ALLOW_CALL(setresgid),
    ALLOW_CALL(setgroups),
    // Its event loop, which holds nothing but eventfds and dead descriptors (see runtime/loop_fds.h).
    ALLOW_CALL(epoll_ctl),
    ALLOW_CALL(epoll_pwait),
#ifdef SYS_epoll_wait
    ALLOW_CALL(epoll_wait),
#endif
    ALLOW_CALL(io_uring_enter),
    ALLOW_CALL(close),
    ALLOW_CALL(fstat),
#ifdef SYS_newfstatat
    ALLOW_CALL(newfstatat),
#endif
    ALLOW_CALL(getcwd),
#ifdef SYS_readlink
    ALLOW_CALL(readlink),
#endif
    ALLOW_CALL(readlinkat),
    // glibc falls back to clone(2), whose flags a filter can see.
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
    ANSWER(ENOSYS),
    // A thread may start a thread (it is confined too); a process it may not.
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
    LOAD(Argument(0)),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
    ALLOW,
    ANSWER(ECANCELED),
    // Asking for flags is harmless; setting them would change the parent's open file description.
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 5),
    LOAD(Argument(1)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_GETFD, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_GETFL, 0, 1),
    ALLOW,
    ANSWER(ECANCELED),
    // uv__wait_children knows of no other error. A wait that blocks is answered by runtime/worker_waits.
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_wait4, 0, 4),
    LOAD(Argument(2)),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, WNOHANG, 0, 1),
    ANSWER(ECHILD),
    ANSWER(ECANCELED),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 1, 0),
    ANSWER(ECANCELED),
    LOAD(Argument(0)),
};
constexpr int kFixedCount = sizeof kFixedRules / sizeof kFixedRules[0];

// Process-wide, written once per child by the forking thread, read-only to the threads that Confine() themselves.
constexpr int kPerRange = 3;
constexpr int kLastCount = 4;
static_assert(kFixedCount + kPerRange * kMaxConfinedRanges + kLastCount <= BPF_MAXINSNS, "the kernel takes no more");
struct sock_filter filter[kFixedCount + kPerRange * kMaxConfinedRanges + kLastCount];
int filter_count = 0;

}  // namespace

bool CanConfine() {
  // EFAULT: the mode is known and the (null) program was looked at. EINVAL: a kernel without CONFIG_SECCOMP_FILTER.
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr, 0, 0) == -1 && errno == EFAULT;
}

bool SetConfinedFds(const FdRange* ranges, int count) {
  if (count > kMaxConfinedRanges) return false;
  int at = 0;
  for (const struct sock_filter& rule : kFixedRules) filter[at++] = rule;
  for (int i = 0; i < count; ++i) {
    filter[at++] = BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, static_cast<uint32_t>(ranges[i].first), 0, 2);
    filter[at++] = BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, static_cast<uint32_t>(ranges[i].last), 1, 0);
    filter[at++] = ALLOW;
  }
  // Where uv_spawn reads how a program's start went, libuv aborts on anything else; and that it went well would have
  // spawnSync wait for the program for ever.
  filter[at++] = LOAD(offsetof(struct seccomp_data, nr));
  filter[at++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 0, 1);
  filter[at++] = ANSWER(EPIPE);
  filter[at++] = ANSWER(ECANCELED);
  filter_count = at;
  return true;
}

int Confine() {
  const struct sock_fprog program = {static_cast<unsigned short>(filter_count), filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0 ? 0 : errno;
}

// getppid(2) never fails elsewhere.
bool IsConfined() { return syscall(SYS_getppid) == -1 && errno == ECANCELED; }

}  // namespace atfork::child

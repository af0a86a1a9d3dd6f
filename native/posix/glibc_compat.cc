// glibc_compat.cc - what glibc 2.31 has no symbol for, under the usual name; see glibc_compat.h.
// Runs in:  any thread, either side of the fork. Async-signal-safe. Hidden: nobody outside the addon sees these.
#include <features.h>

#if defined(__GLIBC__) && defined(__x86_64__)
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Before 2.33 fstat was inline in the header, around __xstat. On x86-64 the kernel's struct stat is libc's: stat(2).
extern "C" int fstat(int fd, struct stat* status) noexcept { return static_cast<int>(syscall(SYS_fstat, fd, status)); }
#endif

// glibc_compat.h - binds the symbols that glibc moved or renewed after 2.31 to the versions that 2.31 has too.
//
// binding.gyp puts this in front of every source of the addon, so that a prebuilt addon made on a newer system loads on
// Debian 11. glibc 2.32 to 2.34 merged libpthread and libdl into libc and gave their functions new versions; the old
// ones stay in libc.so.6 for ever, and name the same code. They have no library of their own to be looked up in before
// 2.34: there the program itself has libpthread and libdl loaded, as every Node has.
// scripts/check-glibc-floor.mjs names what is missing here. Rests on: the directive .symver of as(1); a name that a
// source does not use stays out of its object.
#ifndef ATFORK_POSIX_GLIBC_COMPAT_H_
#define ATFORK_POSIX_GLIBC_COMPAT_H_

#include <features.h>

// The versions of x86-64; every architecture has its own.
#if defined(__GLIBC__) && defined(__x86_64__)
#define ATFORK_BIND(symbol, version) __asm__(".symver " #symbol "," #symbol "@GLIBC_" version)
ATFORK_BIND(dladdr, "2.2.5");
ATFORK_BIND(dladdr1, "2.3.3");
ATFORK_BIND(dlclose, "2.2.5");
ATFORK_BIND(dlerror, "2.2.5");
ATFORK_BIND(dlinfo, "2.3.3");
ATFORK_BIND(dlopen, "2.2.5");
ATFORK_BIND(dlsym, "2.2.5");
ATFORK_BIND(dlvsym, "2.2.5");
ATFORK_BIND(pthread_attr_getstack, "2.2.5");
ATFORK_BIND(pthread_attr_setstacksize, "2.2.5");
ATFORK_BIND(pthread_create, "2.2.5");
ATFORK_BIND(pthread_detach, "2.2.5");
ATFORK_BIND(pthread_getattr_np, "2.2.5");
ATFORK_BIND(pthread_getname_np, "2.12");
ATFORK_BIND(pthread_getspecific, "2.2.5");
ATFORK_BIND(pthread_join, "2.2.5");
ATFORK_BIND(pthread_key_create, "2.2.5");
ATFORK_BIND(pthread_key_delete, "2.2.5");
ATFORK_BIND(pthread_kill, "2.2.5");
ATFORK_BIND(pthread_mutex_clocklock, "2.30");
ATFORK_BIND(pthread_mutex_trylock, "2.2.5");
ATFORK_BIND(pthread_once, "2.2.5");
ATFORK_BIND(pthread_setname_np, "2.12");
ATFORK_BIND(pthread_setspecific, "2.2.5");
ATFORK_BIND(pthread_sigmask, "2.2.5");
ATFORK_BIND(pthread_sigqueue, "2.11");
#undef ATFORK_BIND
#endif

#endif  // ATFORK_POSIX_GLIBC_COMPAT_H_

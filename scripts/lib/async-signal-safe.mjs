/**
 * The functions that the child zone (native/child) may call: between a fork in a process with threads and the child's
 * first JavaScript only async-signal-safe ones are sound, POSIX.1-2017 2.4.3, fork(2).
 */

/**
 * The list of signal-safety(7). Left out on purpose: abort and aio_*, which take a lock in glibc, and fork, which runs
 * the handlers of pthread_atfork(3); the wide-character strings, which nobody here needs.
 */
export const posixSafe = new Set(
  `_Exit _exit accept access alarm bind cfgetispeed cfgetospeed cfsetispeed cfsetospeed chdir chmod chown
  clock_gettime close connect creat dup dup2 execl execle execv execve faccessat fchdir fchmod fchmodat fchown fchownat
  fcntl fdatasync fexecve ffs fstat fstatat fsync ftruncate futimens getegid geteuid getgid getgroups getpeername getpgrp
  getpid getppid getsockname getsockopt getuid htonl htons kill link linkat listen longjmp lseek lstat memccpy memchr
  memcmp memcpy memmove memset mkdir mkdirat mkfifo mkfifoat mknod mknodat ntohl ntohs open openat pause pipe poll
  pselect pthread_kill pthread_self pthread_sigmask raise read readlink readlinkat recv recvfrom recvmsg rename renameat
  rmdir select sem_post send sendmsg sendto setgid setpgid setsid setsockopt setuid shutdown sigaction sigaddset sigdelset
  sigemptyset sigfillset siglongjmp sigismember signal sigpause sigpending sigprocmask sigqueue sigset sigsuspend sleep
  sockatmark socket socketpair stat stpcpy stpncpy strcat strchr strcmp strcpy strcspn strlen strncat strncmp strncpy
  strnlen strpbrk strrchr strspn strstr strtok_r symlink symlinkat tcdrain tcflow tcflush tcgetattr tcgetpgrp tcsendbreak
  tcsetattr tcsetpgrp time timer_getoverrun timer_gettime timer_settime times umask uname unlink unlinkat utime utimensat
  utimes wait waitpid write`.split(/\s+/),
);

/** What POSIX does not list and what is sound all the same, each with its reason. */
export const justified = new Map([
  ['__errno_location', 'the address of errno, a thread-local variable; signal-safety(7), "errno"'],
  ['_longjmp', 'longjmp(3) without the signal mask: it loads registers and does nothing else'],
  ['_setjmp', 'the other half: it stores registers'],
  ['syscall', 'syscall(2): the bare instruction'],
  ['clone', 'clone(2): the bare system call on a stack that the caller brings; runs no pthread_atfork handler'],
  ['prctl', 'prctl(2): the bare system call'],
  ['__stack_chk_fail', 'the stack protector; it is called only to abort'],
  ['_GLOBAL_OFFSET_TABLE_', "the linker's own table, no function"],
]);

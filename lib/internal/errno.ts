/**
 * Linux's numbers, asm-generic/errno.h: the native layer exists on Linux alone. Not from `os.constants`, which lacks two,
 * and because a package that is loaded first leaves it to the program when `node:os` is.
 */
export const errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  E2BIG: 7,
  ENOEXEC: 8,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  EBUSY: 16,
  EEXIST: 17,
  ENFILE: 23,
  EMFILE: 24,
  EPIPE: 32,
  EDEADLK: 35,
  ENOBUFS: 105,
  ETIMEDOUT: 110,
  ESTALE: 116,
  ECANCELED: 125,
  EOWNERDEAD: 130,
  ENOTRECOVERABLE: 131,
} as const;

/**
 * Linux's numbers, asm-generic/errno.h: the native layer exists on Linux alone. Not from `os.constants`, which lacks two,
 * and because a package that is loaded first leaves it to the program when `node:os` is.
 */
export const errno = {
  EPERM: 1,
  ENOEXEC: 8,
  ECHILD: 10,
  EAGAIN: 11,
  EDEADLK: 35,
  ETIMEDOUT: 110,
  ECANCELED: 125,
  EOWNERDEAD: 130,
  ENOTRECOVERABLE: 131,
} as const;

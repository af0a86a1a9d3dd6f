/*
 * atfork.h - how another native addon takes part in the forks of a process, and in its locks.
 *
 * Plain C, and nothing to link with: copy this file, or add to the addon's include_dirs
 *
 *   <!(node -p "require('node:path').dirname(require.resolve('atfork/include/atfork.h'))")
 *
 * examples/hdf5 is an addon that does. atfork_find() looks for the package in the process; where it is not loaded there
 * is nothing to take part in, and it returns NULL. Call it once JavaScript has loaded the package; it costs some
 * microseconds a library.
 *
 *   static const atfork_api *atfork;
 *   ...
 *   atfork = atfork_find();
 *   if (atfork != NULL) {
 *     int error = atfork->lock(atfork->global_lock());
 *     ... error is 0 or EOWNERDEAD: the lock is held
 *     atfork->unlock(atfork->global_lock());
 *   }
 *
 * Every function may be called from any thread. Errors are returned, as a positive errno, and errno is left alone.
 * Functions are added at the end of the struct, and none is ever changed: ATFORK_HAS() tells whether a process that was
 * built with an older version of this file has one. Linux with glibc.
 */
#ifndef ATFORK_H_
#define ATFORK_H_

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is in atfork_api, in this file. */
#define ATFORK_API_VERSION 1
#define ATFORK_HAS(api, function) ((api)->size > offsetof(atfork_api, function))

/* A lock that all threads of the process share, JavaScript's included (globalLock and namedLock() there). */
typedef struct atfork_lock atfork_lock;

/*
 * Handlers around a fork, as those of pthread_atfork(3): each may be NULL. `prepare` runs before the fork, and then,
 * for every `prepare`, one of the others: `parent` also when there is no fork after all. The order is that of `rank`:
 * who has a low one prepares first, and is last in parent and child. Of equals, the last one registered prepares first.
 *
 * Handlers with a rank below ATFORK_LOCKS_RANK prepare before locks are taken, the others while all of them are held.
 * In a fork() of the package `prepare` runs while all other threads still do, so it may wait for them; in a fork of
 * anybody else it holds up libuv's event loop. `child` runs on the only thread that there is.
 */
#define ATFORK_LOCKS_RANK 1000

typedef struct atfork_handlers {
  int rank;
  void (*prepare)(void *arg);
  void (*parent)(void *arg);
  void (*child)(void *arg);
  void *arg;
} atfork_handlers;

typedef struct atfork_api {
  /* Bytes of this struct in the package that is loaded. */
  uint32_t size;
  uint32_t version;

  /* globalLock. */
  atfork_lock *(*global_lock)(void);
  /*
   * namedLock(name, { rank }): made if it is not there, and never freed. 0; EINVAL: it is there with another rank, or
   * the name does not have 1 to 255 bytes; ENOMEM.
   */
  int (*named_lock)(const char *name, int rank, atfork_lock **lock);

  /*
   * Takes the lock, once more if the calling thread holds it already, and waits for it if need be. `timeout_ns`:
   * nanoseconds; 0 does not wait, a negative one has no end. A Worker that waits is not terminated meanwhile.
   *
   *   0               it is held
   *   EOWNERDEAD      it is held; its last owner ended while it held it, so what it protects may be half done: repair
   *                   that and call make_consistent, or nobody can take it once it is released
   *   ETIMEDOUT       (EBUSY when `timeout_ns` is 0) another thread holds it
   *   ENOTRECOVERABLE it was released without the repair
   *   EDEADLK         the wait would never end: its owner waits for a lock that this thread holds
   *   ESTALE          (EBUSY when `timeout_ns` is 0) another thread holds it, and this process is bypassed(): nobody
   *                   waits for a lock there, since its holder may be a thread of the parent alone
   *   ECANCELED       in a child of a fork, on a Worker that came along to be ended. Node drops what an addon throws
   *                   there, and the next lines of JavaScript may still run: so do not rely on the exception, and have
   *                   whatever needs the lock ask owns() first
   *   EAGAIN          this thread holds it too often to be counted
   */
  int (*lock)(atfork_lock *lock);
  int (*timed_lock)(atfork_lock *lock, int64_t timeout_ns);
  /* Undoes one lock(). 0; EPERM: this thread does not hold it. */
  int (*unlock)(atfork_lock *lock);
  /* 0; EPERM: this thread does not hold it. */
  int (*make_consistent)(atfork_lock *lock);
  /* Whether the calling thread holds it: 1 or 0. */
  int (*owns)(atfork_lock *lock);

  /*
   * The handlers take part from the next fork on. The library that `prepare`, `parent` or `child` lies in stays loaded.
   * 0; ENOSPC: there are 256 of them.
   */
  int (*add_handlers)(const atfork_handlers *handlers, uint32_t *id);
  /*
   * From its return on none of the handlers runs; it waits for those that do, unless a handler calls it. 0; EINVAL: no
   * such id.
   */
  int (*remove_handlers)(uint32_t id);

  /*
   * A mutex of the addon's own, for forks to take with the locks, in the order of their ranks: so it is never held by
   * another thread while memory is copied, and both sides go on as they were, the forking thread's own hold included,
   * at any depth. A fork() of the package fails when the mutex is not to be had within its lockTimeout. A fork of
   * anybody else waits a millisecond; the child then starts with a free mutex, and `orphaned(arg)`, if not NULL, is
   * called there. Where Workers use the mutex: one that waits for it ends in the child before it gets it; one that was
   * on its way may still take it there for its last lines, without access to files, and it is given back when the
   * Worker ends. So it is, with `orphaned(arg)`, whenever a thread that has used the locks ends with the mutex in its
   * hands. PTHREAD_MUTEX_NORMAL, _RECURSIVE, _ERRORCHECK and _ADAPTIVE_NP. `name` is for messages, and is copied. 0;
   * EINVAL: a mutex of another kind (robust, shared, with priorities); EEXIST; ENOMEM.
   */
  int (*add_mutex)(pthread_mutex_t *mutex, const char *name, int rank, void (*orphaned)(void *arg), void *arg);
  /* Before the mutex is destroyed. Waits for forks under way. 0; EINVAL: it was not added. */
  int (*remove_mutex)(pthread_mutex_t *mutex);

  /*
   * No fork() of the package from here to allow_fork(), which this thread calls: they are refused, with
   * ERR_ATFORK_PREVENTED. Sections nest. 0; ECANCELED: see lock().
   */
  int (*prevent_fork)(void);
  void (*allow_fork)(void);

  /*
   * Whether this process was made past the at-fork handlers, by _Fork(3) or by clone(2) itself, from one that has the
   * package: 1 or 0. Its locks are then as the parent's threads left them: what the calling thread held it holds, what
   * was free is free, and what another thread held nobody releases; no handlers have run. A child that it makes by
   * fork(2) is a whole one again, where such locks are orphaned. 0 also where it is not known: before Linux 4.14, and
   * in a child that was made inside of an at-fork handler.
   */
  int (*bypassed)(void);
} atfork_api;

/* dl_iterate_phdr(3) and its struct are only declared with _GNU_SOURCE; this is how the struct begins. */
struct dl_phdr_info;
#ifndef __USE_GNU
extern int dl_iterate_phdr(int (*callback)(struct dl_phdr_info *info, size_t size, void *data), void *data);
#endif

struct atfork_object_ {
  ElfW(Addr) address;
  const char *name;
};

struct atfork_names_ {
  char **names;
  size_t count;
};

static inline int atfork_collect_(struct dl_phdr_info *info, size_t size, void *arg) {
  const struct atfork_object_ *object = (const struct atfork_object_ *)(const void *)info;
  struct atfork_names_ *all = (struct atfork_names_ *)arg;
  char **names = (char **)realloc(all->names, (all->count + 1) * sizeof *names);
  size_t length = strlen(object->name) + 1;
  (void)size;
  if (names == NULL) return 1;
  all->names = names;
  names[all->count] = (char *)malloc(length);
  if (names[all->count] == NULL) return 1;
  memcpy(names[all->count++], object->name, length);
  return 0;
}

/*
 * The package in this process; NULL where it is not loaded, or failed to. Addons are loaded RTLD_LOCAL, so every
 * library is asked; and not while dl_iterate_phdr(3) holds the lock that dlsym(3) may wait for.
 */
static inline const atfork_api *atfork_find(void) {
  struct atfork_names_ all = {NULL, 0};
  const atfork_api *found = NULL;
  size_t i;
  dl_iterate_phdr(atfork_collect_, &all);
  for (i = 0; i < all.count; ++i) {
    void *library = NULL;
    if (found == NULL) library = dlopen(all.names[i][0] == '\0' ? NULL : all.names[i], RTLD_LAZY | RTLD_NOLOAD);
    if (library != NULL) {
      const atfork_api *(*get)(void);
      /* POSIX's way around a conversion that ISO C does not know: dlsym(3). */
      *(void **)(&get) = dlsym(library, "atfork_get_api_v1");
      if (get != NULL) found = get();
      dlclose(library);
    }
    free(all.names[i]);
  }
  free(all.names);
  return found;
}

#ifdef __cplusplus
}
#endif

#endif /* ATFORK_H_ */

// tsan_clocklock.h - pthread_mutex_clocklock(3) for ThreadSanitizer, which knows it only since clang 18 or so: by way
// of pthread_mutex_timedlock(3), whose deadlines are those of another clock. scripts/sanitize.mjs puts it in front.
#ifndef ATFORK_TEST_NATIVE_TSAN_CLOCKLOCK_H_
#define ATFORK_TEST_NATIVE_TSAN_CLOCKLOCK_H_

#include <pthread.h>
#include <time.h>

#include <cstdint>

inline int64_t TsanNanosOf(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

inline int TsanClocklock(pthread_mutex_t* mutex, clockid_t clock, const timespec* until) {
  const int64_t left = until->tv_sec * INT64_C(1000000000) + until->tv_nsec - TsanNanosOf(clock);
  const int64_t deadline = TsanNanosOf(CLOCK_REALTIME) + left;
  const timespec real = {deadline / 1000000000, deadline % 1000000000};
  return pthread_mutex_timedlock(mutex, &real);
}

#define pthread_mutex_clocklock TsanClocklock

#endif  // ATFORK_TEST_NATIVE_TSAN_CLOCKLOCK_H_

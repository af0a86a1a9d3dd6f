// registrar.cc - a library that registers at-fork handlers and is unloaded: semantics_handlers_test.cc loads it.
// Runs in:  native_tests. Calls: pthread_atfork(3). Not part of the package.
#include <pthread.h>

namespace {

int* counter = nullptr;

void Count() { ++*counter; }

}  // namespace

extern "C" {

// Each fork adds 2 to *forks, on either side.
__attribute__((visibility("default"))) int CountForks(int* forks) {
  counter = forks;
  return pthread_atfork(Count, Count, Count);
}

__attribute__((visibility("default"))) void NoteFork(void* forks) { ++*static_cast<int*>(forks); }

}  // extern "C"

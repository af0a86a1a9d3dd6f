// spin.cc - see spin.h.
#include "posix/spin.h"

#include <sched.h>

namespace atfork {
namespace {

// Written while this is loaded.
const bool several_processors = [] {
  cpu_set_t processors;
  return sched_getaffinity(0, sizeof processors, &processors) != 0 || CPU_COUNT(&processors) > 1;
}();

}  // namespace

bool HasSeveralProcessors() { return several_processors; }

}  // namespace atfork

// worker_waits.cc - see worker_waits.h.
// Runs in:  any thread of the runtime that waits for a child.
// Calls:    waitpid(2).
// Rests on: ECANCELED, which waitpid(2) itself never answers, coming from the filter of a confined thread.
#include "runtime/worker_waits.h"

#include <errno.h>
#include <sys/wait.h>

#include "runtime/import_table.h"

namespace atfork::runtime {
namespace {

pid_t (*original_waitpid)(pid_t, int*, int) = waitpid;

pid_t WatchedWaitpid(pid_t pid, int* status, int options) {
  const pid_t result = original_waitpid(pid, status, options);
  if (result != -1 || errno != ECANCELED || pid <= 0) return result;
  if (status != nullptr) *status = 0;
  return pid;
}

}  // namespace

Status WatchWaits() {
  return ReplaceImport("waitpid", reinterpret_cast<void*>(WatchedWaitpid), reinterpret_cast<void**>(&original_waitpid));
}

}  // namespace atfork::runtime

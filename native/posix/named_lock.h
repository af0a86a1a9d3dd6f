// named_lock.h - locks and semaphores that everybody in this process finds by their name. See named_lock.cc.
#ifndef ATFORK_POSIX_NAMED_LOCK_H_
#define ATFORK_POSIX_NAMED_LOCK_H_

#include <cstdint>
#include <optional>

#include "posix/process_lock.h"
#include "posix/process_semaphore.h"
#include "posix/result.h"

namespace atfork {

// The one of that name; it is made if there is none. `rank`: default 0 for a new one, any for one that is there.
// EINVAL: the one that is there has another rank, or another number of permits; ENOMEM; ECANCELED: this thread belongs
// to the parent of this process.
Result<ProcessLock*> OpenNamedLock(const char* name, std::optional<int> rank);
Result<ProcessSemaphore*> OpenNamedSemaphore(const char* name, uint32_t permits, std::optional<int> rank);

}  // namespace atfork

#endif  // ATFORK_POSIX_NAMED_LOCK_H_

// shared_mappings.h - memory that parent and child would both write to, while Workers are about.
//
// A Worker comes along in the child to end (child/confine.h). What it does until then is kept from the outside as far
// as it makes system calls; but a store to a file or a memory object that is mapped MAP_SHARED needs none. One that was
// parked in the middle of SQLite's WAL index would go on there, in the parent's file.
#ifndef ATFORK_RUNTIME_SHARED_MAPPINGS_H_
#define ATFORK_RUNTIME_SHARED_MAPPINGS_H_

#include "posix/result.h"

namespace atfork::runtime {

// Parent, forking thread, the Workers parked: notes the writable shared mappings. Refused when there is one and it may
// not be copied, or cannot be (a device's).
Status NoteSharedMappings(bool may_copy);

// Child, before any other thread runs: replaces what was noted by private copies. 0 or an errno.
int CopySharedMappings();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_SHARED_MAPPINGS_H_

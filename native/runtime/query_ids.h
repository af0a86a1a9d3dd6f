// query_ids.h - lets the DNS queries of a forked child have ids that its parent's do not have.
//
// c-ares takes the id of a query, two bytes, from 256 that it reads ahead into each of its channels (each dns.Resolver,
// and Node's default one, is a channel). They would be the same in both processes, and who sees one's queries could
// forge answers to the other's. In the child they count as used up; c-ares then reads new ones.
#ifndef ATFORK_RUNTIME_QUERY_IDS_H_
#define ATFORK_RUNTIME_QUERY_IDS_H_

#include "posix/result.h"

namespace atfork::runtime {

// Begins to watch where c-ares puts what it reads, and checks how it keeps it, on a state of our own. Main thread, at
// load.
Status WatchQueryIds();

// Parent, before fork(2): which of them are still there.
void NoteQueryIds();

// Child, before any other thread runs. Async-signal-safe.
void ForgetQueryIds();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_QUERY_IDS_H_

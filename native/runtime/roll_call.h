// roll_call.h - who takes part in a fork, and how they are asked to park.
//
// Parent, forking thread, but for what says otherwise. One fork at a time.
#ifndef ATFORK_RUNTIME_ROLL_CALL_H_
#define ATFORK_RUNTIME_ROLL_CALL_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "posix/result.h"
#include "runtime/glibc_layout.h"
#include "runtime/park_signal.h"

namespace atfork::runtime {

// Once, at load.
void LoadRollCall(const GlibcLayout& layout);

// Those that take part, libuv's pool left out but for whom AddPoolThread has added. Either side.
const std::vector<ParkedThread*>& Participants();

// libuv's pool, as of the last CallRoll.
const std::vector<pid_t>& PoolThreads();

// Who is not of the runtime, as of the last CallRoll.
const std::vector<pid_t>& OtherThreads();

// Adds each thread of the runtime that does not take part yet.
Status CallRoll();

// /proc/self/task, open since the last CallRoll.
int TaskFolder();

// Adds a thread of libuv's pool; null when there is no room.
ParkedThread* AddPoolThread(pid_t tid);

struct Tally {
  int asked = 0;
  int others = 0;   // neither asked nor parked
  int waiting = 0;  // of those, who has refused and will not come out of there by itself
};
Tally CountAnswers();

// Asks everyone who is not parked; 0 or an errno. The answers are waited for by the other.
int Ask();
void AwaitEverybody(int64_t until);

// Where a pool thread stands, by its own account. False when it is gone or does not answer.
bool AskPoolThread(pid_t tid, SystemCall* call);

// Who is not parked, and why: what it said last, since the last ForgetRefusals, should it not have had the time to
// answer again.
std::string DescribeStuck();
void ForgetRefusals();

// Lets everybody go on, those of libuv's pool, or all and forgets them.
void ReleasePoolThreads();
void ReleaseEverybody();
// Child: nobody takes part any longer.
void ForgetEverybody();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_ROLL_CALL_H_

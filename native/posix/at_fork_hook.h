// at_fork_hook.h - what happens around every fork() of this process. See at_fork_hook.cc.
#ifndef ATFORK_POSIX_AT_FORK_HOOK_H_
#define ATFORK_POSIX_AT_FORK_HOOK_H_

namespace atfork {

// Registers the handlers, once in the life of a process. 0, or the errno of pthread_atfork(3).
int InstallAtForkHook();

}  // namespace atfork

#endif  // ATFORK_POSIX_AT_FORK_HOOK_H_

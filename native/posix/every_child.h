// every_child.h - marks the functions that run in the child of every fork, whoever forks: they lie side by side.
//
// A child has no code mapped at first. What it runs it faults in, some 64 KB at a time: spread over the addon, these
// few functions took a fault for nearly each of them.
#ifndef ATFORK_POSIX_EVERY_CHILD_H_
#define ATFORK_POSIX_EVERY_CHILD_H_

#define ATFORK_IN_EVERY_CHILD __attribute__((section("atfork_every_child")))

#endif  // ATFORK_POSIX_EVERY_CHILD_H_

// math_random.h - lets Math.random of a forked child begin anew, in every context.
//
// V8 keeps, for each native context (the main one, and each of vm.createContext), 64 values drawn ahead and the state
// that the next 64 come from; and in the isolate, the generator that seeds a context's state when it is all zeros, as
// in a new context. So in the child each context is made as a new one, and the generator gets a state from the kernel.
// The function stays V8's own: also one that was taken before the fork, at its own speed.
//
// Nothing of it is in V8's interface. Where it lies is learned by an experiment, at the first fork: JavaScript makes a
// context and draws in it twice, and what changed in memory meanwhile tells. It rests on this, all of it checked, in
// the experiment or before every fork, through reads that cannot fault:
//
//   - pointers are not compressed: a tagged pointer is an address + 1, a Smi is a number in the upper half of a word
//   - a native context is an array: word 1 its length, the same in all; one of its slots links it to the next older one
//   - a word inside the isolate holds the newest, and the chain of links from there includes the current context
//   - Math.random counts one slot of its context down; the next slot leads to an array of 16 bytes, the state, and the
//     one after to one of 64 numbers, of which the one that the counter points at is the value that was returned
//   - with counter 0 the next call draws 64 new values, after it has seeded a state that is all zeros
//   - a pointer in the isolate leads to its generator, {seed, state0, state1} of xorshift128, from which a context's
//     seed takes one step a byte
//
// Where one does not hold, fork() refuses and names it. With --random-seed V8 was asked to repeat itself, in every
// context: then nothing is done.
#ifndef ATFORK_RUNTIME_MATH_RANDOM_H_
#define ATFORK_RUNTIME_MATH_RANDOM_H_

#include <array>
#include <cstdint>
#include <vector>

#include "posix/result.h"

namespace atfork::runtime {

// The experiment, on the main thread: each step is called after what its name says has happened. A garbage collection
// in the middle may spoil it, and so does V8 making its generator only then: an error is worth another try.
class MathRandomLesson {
 public:
  using Generator = std::array<uint64_t, 3>;  // seed, state0, state1

  Status Began();
  Status MadeContext();
  Status DrewOnce(double value);
  Status DrewTwice(double value);

 private:
  std::vector<uintptr_t> isolate_;     // what it held last time
  std::vector<uintptr_t> context_;     // the new context's words
  std::vector<uintptr_t> pointers_;    // of the isolate, to what may be its generator,
  std::vector<Generator> pointed_at_;  // and what is there
  uintptr_t head_slot_ = 0;
  uintptr_t length_ = 0;  // word 1 of every native context
  size_t link_ = 0;
  uintptr_t generator_ = 0;
  double first_ = 0;
};

// Parent, after the lesson: finds the state of every context. The last that happens before fork(2) as far as V8's heap
// goes: what is found is good until something is allocated on it.
Status NoteMathRandom();

// Child, before any other thread runs: makes all of that as it is in a new context. Async-signal-safe. 0 or an errno.
int RenewMathRandom();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_MATH_RANDOM_H_

// test.h - the whole test framework of the native code: named functions, each run in a process of its own.
//
//   #include "test.h"
//   TEST(process_lock_is_recursive) { CHECK_EQ(lock.depth(), 2); }
//
// Runs in:  the executable `native_tests` (main.cc), without Node. main.cc forks one child per test, so a test may
// fork,
//           start threads, leave locks held or crash without touching the next one; its wait is bounded there.
// A failed CHECK prints its place and ends the test's process with 1; a helper process of a test may use CHECK too, the
// test then sees its exit status. Calls _exit(2), as a forked child must not run the exit handlers it inherited.
#ifndef ATFORK_TEST_NATIVE_TEST_H_
#define ATFORK_TEST_NATIVE_TEST_H_

#include <unistd.h>

#include <cstdio>
#include <sstream>
#include <string>

namespace atfork::test {

// One row of the list that main.cc walks. Static storage: built before main by the TEST macro, read-only after.
struct Case {
  Case(const char* case_name, void (*body)()) : name(case_name), run(body) {
    *tail = this;
    tail = &next;
  }
  const char* const name;
  void (*const run)();
  Case* next = nullptr;
  static inline Case* head = nullptr;
  static inline Case** tail = &head;
};

[[noreturn]] inline void Fail(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  std::fflush(stderr);
  _exit(1);
}

template <typename A, typename B>
std::string Describe(const char* expression, const A& left, const B& right) {
  std::ostringstream text;
  text << expression << ", but left is " << left << " and right is " << right;
  return text.str();
}

}  // namespace atfork::test

#define TEST(test_name)                                                             \
  static void test_name();                                                          \
  static ::atfork::test::Case test_name##_case(#test_name, test_name); /* NOLINT */ \
  static void test_name()

#define CHECK(condition)                                                                \
  do {                                                                                  \
    if (!(condition)) ::atfork::test::Fail(__FILE__, __LINE__, "expected " #condition); \
  } while (false)

// Both sides are evaluated once and must be printable with <<.
#define CHECK_EQ(left, right)                                                                                   \
  do {                                                                                                          \
    const auto& check_left = (left);                                                                            \
    const auto& check_right = (right);                                                                          \
    if (!(check_left == check_right)) {                                                                         \
      ::atfork::test::Fail(__FILE__, __LINE__,                                                                  \
                           ::atfork::test::Describe("expected " #left " == " #right, check_left, check_right)); \
    }                                                                                                           \
  } while (false)

#endif  // ATFORK_TEST_NATIVE_TEST_H_

// claim.h - what a test shows, for a row of docs/atfork-semantics.md.
//
//   CLAIM(mutex_of_a_lost_thread, "locks", "another thread holds a mutex", Posix("..."), Glibc("..."), Atfork("..."),
//         "other_test other_test")
//   TEST(mutex_of_a_lost_thread) { ... Saw("EBUSY"); }
//
// The last argument, which may be left out, names other tests that show what atfork guarantees there. A claim is only
// as good as its test: scripts/semantics-doc.mjs writes what the tests' own results say.
//
// Runs in:  native_tests. Saw and CannotShow also in children of a test.
#ifndef ATFORK_TEST_NATIVE_CLAIM_H_
#define ATFORK_TEST_NATIVE_CLAIM_H_

#include <cstdio>
#include <string>

namespace atfork::test {

// By type, so that none takes another's column.
struct Posix {
  explicit constexpr Posix(const char* what) : text(what) {}
  const char* text;
};
struct Glibc {
  explicit constexpr Glibc(const char* what) : text(what) {}
  const char* text;
};
struct Atfork {
  explicit constexpr Atfork(const char* what) : text(what) {}
  const char* text;
};

// One row. Static storage: in the list before main.
struct Claim {
  Claim(const char* its_test, const char* its_area, const char* its_situation, Posix by_posix, Glibc by_glibc,
        Atfork by_atfork, const char* shown_too = "")
      : test(its_test),
        area(its_area),
        situation(its_situation),
        posix(by_posix.text),
        glibc(by_glibc.text),
        atfork(by_atfork.text),
        also(shown_too),
        next(head) {
    head = this;
  }
  static const Claim* Of(const std::string& name);

  const char* const test;
  const char* const area;
  const char* const situation;
  const char* const posix;
  const char* const glibc;
  const char* const atfork;
  const char* const also;
  const Claim* const next;
  static inline const Claim* head = nullptr;
};

// What the processes of one test have to say; in memory that they share with main.cc.
struct Report {
  char seen[512];
  char cannot[256];
};

// Null outside of a test.
inline Report* report = nullptr;

// What was seen here, where that differs from system to system. Several are put one after the other.
void Saw(const std::string& what);

// This system has not got what the test is about: it ends here, and its claim is neither shown nor refuted.
[[noreturn]] void CannotShow(const std::string& why);

// One test's result as a line of JSON. `why` it failed; empty: it did not.
void WriteResult(std::FILE* file, const char* name, const std::string& why, const Report& said);
// Where the results come from, as another.
void WriteSystem(std::FILE* file);

}  // namespace atfork::test

// The line says whose it is before the test does.
#define CLAIM(test_name, ...)                                                             \
  static const ::atfork::test::Claim test_name##_claim(#test_name, __VA_ARGS__) /* NOLINT \
                                                                                 */

#endif  // ATFORK_TEST_NATIVE_CLAIM_H_

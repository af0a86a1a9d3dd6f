// result.h - the value-or-error type of everything below the binding layer.
//
// Native code is built without C++ exceptions: a step that can fail returns Result<T>, and the error says what the
// caller needs to build a JavaScript Error from: errno, the call that set it, the stage it happened in, and, where
// this library itself refuses, its own code.
#ifndef ATFORK_POSIX_RESULT_H_
#define ATFORK_POSIX_RESULT_H_

#include <cerrno>
#include <string>
#include <utility>
#include <variant>

namespace atfork {

struct Error {
  int errnum = 0;              // positive errno; 0 when the error is a refusal of ours
  const char* syscall = "";    // the call that failed, static storage
  const char* stage = "";      // where in the operation, static storage
  const char* code = nullptr;  // ERR_ATFORK_* when errno alone does not name it, static storage
  std::string detail;          // free text for the message; allocated in the parent only

  static Error Errno(const char* syscall, const char* stage, int errnum = errno) {
    return Error{errnum, syscall, stage, nullptr, {}};
  }
  static Error Refused(const char* code, const char* stage, std::string detail) {
    return Error{0, "", stage, code, std::move(detail)};
  }
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)
  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() { return std::get<0>(state_); }
  const T& value() const { return std::get<0>(state_); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

struct Unit {};
using Status = Result<Unit>;

}  // namespace atfork

#endif  // ATFORK_POSIX_RESULT_H_

// claim.cc - what tests show, for main.cc to write down; see claim.h.
// Runs in:  native_tests: WriteResult and WriteSystem in the process that starts the tests, the others in those.
#include "claim.h"

#include <gnu/libc-version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstring>

namespace atfork::test {
namespace {

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return quoted + '"';
}

// Ends with a 0 in any case: the rest of the field is one.
template <size_t size>
void Append(char (&field)[size], const std::string& text) {
  const size_t used = strnlen(field, size - 1);
  text.copy(field + used, size - 1 - used);
}

}  // namespace

const Claim* Claim::Of(const std::string& name) {
  const Claim* claim = head;
  while (claim != nullptr && claim->test != name) claim = claim->next;
  return claim;
}

void Saw(const std::string& what) {
  if (report == nullptr) return;
  if (report->seen[0] != '\0') Append(report->seen, "; ");
  Append(report->seen, what);
}

void CannotShow(const std::string& why) {
  if (report != nullptr) Append(report->cannot, why);
  _exit(0);
}

void WriteResult(std::FILE* file, const char* name, const std::string& why, const Report& said) {
  const char* const result = !why.empty() ? "failed" : said.cannot[0] != '\0' ? "cannot" : "passed";
  std::fprintf(file, "{\"test\":%s,\"result\":\"%s\",\"why\":%s,\"seen\":%s", Quoted(name).c_str(), result,
               Quoted(why.empty() ? said.cannot : why).c_str(), Quoted(said.seen).c_str());
  if (const Claim* const claim = Claim::Of(name); claim != nullptr) {
    std::fprintf(file, ",\"claim\":{\"area\":%s,\"situation\":%s,\"posix\":%s,\"glibc\":%s,\"atfork\":%s,\"also\":%s}",
                 Quoted(claim->area).c_str(), Quoted(claim->situation).c_str(), Quoted(claim->posix).c_str(),
                 Quoted(claim->glibc).c_str(), Quoted(claim->atfork).c_str(), Quoted(claim->also).c_str());
  }
  std::fprintf(file, "}\n");
}

void WriteSystem(std::FILE* file) {
  utsname system;
  uname(&system);
  std::fprintf(file, "{\"glibc\":%s,\"kernel\":%s}\n", Quoted(gnu_get_libc_version()).c_str(),
               Quoted(system.release).c_str());
}

}  // namespace atfork::test

// libc_symbols.cc - see libc_symbols.h.
// Runs in:  any thread, at load or at the first use of what rests on it. Not async-signal-safe. Never allocates on
//           success.
// Calls:    dlsym(3), dl_iterate_phdr(3), what elf_file needs.
// Rests on: nptl_db/structs.def and db-symbols.h of glibc 2.31, 2.36, 2.41 and 2.43: since 2.34 the symbols
//           that libthread_db needs are exported from libc.so.6 (GLIBC_PRIVATE); before, they are local ones in the
//           .symtab of libpthread.so.0, which distributions leave in the file for that purpose.
#include "posix/libc_symbols.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <cstring>
#include <string>

#include "posix/elf_file.h"

namespace atfork {
namespace {

bool IsObjectNamed(const ElfW(Sym) & symbol, const char* name, const void* wanted) {
  return ELF64_ST_TYPE(symbol.st_info) == STT_OBJECT && std::strcmp(name, static_cast<const char*>(wanted)) == 0;
}

bool IsLibc(const char* path) {
  const char* const slash = std::strrchr(path, '/');
  const char* const name = slash == nullptr ? path : slash + 1;
  return std::strncmp(name, "libc.so.", 8) == 0 || std::strncmp(name, "libpthread.so.", 14) == 0;
}

struct Search {
  const char* name;
  const void* found;
};

int SearchModule(dl_phdr_info* loaded, size_t, void* data) {
  auto* search = static_cast<Search*>(data);
  if (!IsLibc(loaded->dlpi_name)) return 0;
  const ElfFile file(loaded->dlpi_name);
  if (!file.IsFileOf(*loaded)) return 0;
  const auto* symbol = file.FindSymbol(IsObjectNamed, search->name);
  if (symbol == nullptr) return 0;
  search->found = reinterpret_cast<const void*>(loaded->dlpi_addr + symbol->st_value);
  return 1;
}

}  // namespace

const void* FindLibcSymbol(const char* name) {
  if (const void* exported = dlsym(RTLD_DEFAULT, name)) return exported;
  Search search = {name, nullptr};
  dl_iterate_phdr(SearchModule, &search);
  return search.found;
}

Result<uint32_t> FindLibcField(const char* symbol, uint32_t bytes) {
  const auto refuse = [&](const char* what) {
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "load", std::string(what) + symbol);
  };
  // nptl_db/db_info.c: {size in bits, number of elements, offset in bytes}
  const auto* descriptor = static_cast<const uint32_t*>(FindLibcSymbol(symbol));
  if (descriptor == nullptr) return refuse("libc has no symbol ");
  if (descriptor[0] != 8 * bytes) return refuse("libc has a field of another size behind ");
  return descriptor[2];
}

}  // namespace atfork

// function_name.cc - see function_name.h.
// Runs in:  the parent or a complete child, any thread.
// Calls:    dl_iterate_phdr(3), what elf_file needs.
// Rests on: elf(5). dladdr(3) knows only what is exported, which a thread's start routine seldom is.
#include "posix/function_name.h"

#include <elf.h>
#include <link.h>

#include "posix/elf_file.h"

namespace atfork {
namespace {

struct Search {
  uintptr_t address;
  std::string name;
};

bool Holds(const dl_phdr_info& loaded, uintptr_t address) {
  for (int i = 0; i < loaded.dlpi_phnum; ++i) {
    const auto& segment = loaded.dlpi_phdr[i];
    const uintptr_t begin = loaded.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && address >= begin && address < begin + segment.p_memsz) return true;
  }
  return false;
}

bool IsFunctionAt(const ElfW(Sym) & symbol, const char*, const void* place) {
  const auto wanted = reinterpret_cast<uintptr_t>(place);
  return ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && wanted >= symbol.st_value &&
         wanted < symbol.st_value + symbol.st_size;
}

int SearchModule(dl_phdr_info* loaded, size_t, void* data) {
  auto* search = static_cast<Search*>(data);
  if (!Holds(*loaded, search->address)) return 0;
  const ElfFile file(loaded->dlpi_name[0] == '\0' ? "/proc/self/exe" : loaded->dlpi_name);
  const char* name = "";
  // As in the file, without where it was loaded.
  const auto* place = reinterpret_cast<const void*>(search->address - loaded->dlpi_addr);
  if (file.IsFileOf(*loaded)) file.FindSymbol(IsFunctionAt, place, &name);
  search->name = name;
  return 1;
}

}  // namespace

std::string FunctionNameAt(uintptr_t address) {
  Search search = {address, {}};
  dl_iterate_phdr(SearchModule, &search);
  return search.name;
}

}  // namespace atfork

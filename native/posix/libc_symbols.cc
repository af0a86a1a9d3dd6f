// libc_symbols.cc - see libc_symbols.h.
// Runs in:  any thread, at load or at the first use of what rests on it. Not async-signal-safe. Never allocates on
//           success.
// Calls:    dlsym(3), dl_iterate_phdr(3), open(2), mmap(2).
// Rests on: elf(5). nptl_db/structs.def and db-symbols.h of glibc 2.31, 2.36, 2.41 and 2.43: since 2.34 the symbols
//           that libthread_db needs are exported from libc.so.6 (GLIBC_PRIVATE); before, they are local ones in the
//           .symtab of libpthread.so.0, which distributions leave in the file for that purpose.
#include "posix/libc_symbols.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>
#include <string>

#include "posix/fd.h"

namespace atfork {
namespace {

// A whole file, mapped for reading; empty when it cannot be.
class MappedFile {
 public:
  explicit MappedFile(const char* path) {
    const UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
    struct stat status;
    if (!fd || fstat(fd.get(), &status) != 0 || status.st_size <= 0) return;
    const auto size = static_cast<size_t>(status.st_size);
    void* const begin = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (begin == MAP_FAILED) return;
    begin_ = static_cast<const char*>(begin);
    size_ = size;
  }
  ~MappedFile() {
    if (begin_ != nullptr) munmap(const_cast<char*>(begin_), size_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // `count` values of type T at `offset`; null when the file is not that long.
  template <typename T>
  const T* At(size_t offset, size_t count = 1) const {
    const bool inside = offset <= size_ && count <= (size_ - offset) / sizeof(T);
    return inside ? reinterpret_cast<const T*>(begin_ + offset) : nullptr;
  }

 private:
  const char* begin_ = nullptr;
  size_t size_ = 0;
};

// The build id, which tells one build of a library from every other, is among its notes.
bool IsLoadedFile(const MappedFile& file, const dl_phdr_info& loaded) {
  bool has_notes = false;
  for (int i = 0; i < loaded.dlpi_phnum; ++i) {
    const auto& segment = loaded.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const char* notes = file.At<char>(segment.p_offset, segment.p_filesz);
    const auto* in_memory = reinterpret_cast<const char*>(loaded.dlpi_addr + segment.p_vaddr);
    if (notes == nullptr || std::memcmp(notes, in_memory, segment.p_filesz) != 0) return false;
    has_notes = true;
  }
  return has_notes;
}

// The value of a symbol of `file`'s full table, which is its address relative to where the file is loaded; 0 when there
// is none.
ElfW(Addr) FindInFile(const MappedFile& file, const char* name) {
  const auto* header = file.At<ElfW(Ehdr)>(0);
  if (header == nullptr || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return 0;
  const auto* sections = file.At<ElfW(Shdr)>(header->e_shoff, header->e_shnum);
  if (sections == nullptr || header->e_shentsize != sizeof *sections) return 0;
  for (unsigned i = 0; i < header->e_shnum; ++i) {
    if (sections[i].sh_type != SHT_SYMTAB || sections[i].sh_link >= header->e_shnum) continue;
    const auto& names = sections[sections[i].sh_link];
    const size_t count = sections[i].sh_size / sizeof(ElfW(Sym));
    const auto* symbols = file.At<ElfW(Sym)>(sections[i].sh_offset, count);
    const char* text = file.At<char>(names.sh_offset, names.sh_size);
    // A table of names ends with a NUL, so none runs out of it.
    if (symbols == nullptr || text == nullptr || names.sh_size == 0 || text[names.sh_size - 1] != '\0') return 0;
    for (const auto* symbol = symbols; symbol != symbols + count; ++symbol) {
      const bool is_data = ELF64_ST_TYPE(symbol->st_info) == STT_OBJECT && symbol->st_shndx != SHN_UNDEF;
      if (is_data && symbol->st_name < names.sh_size && std::strcmp(text + symbol->st_name, name) == 0) {
        return symbol->st_value;
      }
    }
  }
  return 0;
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
  const MappedFile file(loaded->dlpi_name);
  if (!IsLoadedFile(file, *loaded)) return 0;
  const ElfW(Addr) value = FindInFile(file, search->name);
  if (value == 0) return 0;
  search->found = reinterpret_cast<const void*>(loaded->dlpi_addr + value);
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

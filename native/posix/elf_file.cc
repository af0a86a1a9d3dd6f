// elf_file.cc - see elf_file.h.
// Runs in:  any thread.
// Calls:    open(2), fstat(2), mmap(2).
// Rests on: elf(5).
#include "posix/elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>

#include "posix/fd.h"

namespace atfork {

ElfFile::ElfFile(const char* path) {
  const UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  struct stat status;
  if (!fd || fstat(fd.get(), &status) != 0 || status.st_size <= 0) return;
  const auto size = static_cast<size_t>(status.st_size);
  void* const begin = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (begin == MAP_FAILED) return;
  begin_ = static_cast<const char*>(begin);
  size_ = size;
}

ElfFile::~ElfFile() {
  if (begin_ != nullptr) munmap(const_cast<char*>(begin_), size_);
}

bool ElfFile::IsFileOf(const dl_phdr_info& loaded) const {
  bool has_notes = false;
  for (int i = 0; i < loaded.dlpi_phnum; ++i) {
    const auto& segment = loaded.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const char* notes = At<char>(segment.p_offset, segment.p_filesz);
    const auto* in_memory = reinterpret_cast<const char*>(loaded.dlpi_addr + segment.p_vaddr);
    if (notes == nullptr || std::memcmp(notes, in_memory, segment.p_filesz) != 0) return false;
    has_notes = true;
  }
  return has_notes;
}

const ElfW(Sym) * ElfFile::FindSymbol(bool (*matches)(const ElfW(Sym) & symbol, const char* name, const void* wanted),
                                      const void* wanted, const char** name) const {
  const auto* header = At<ElfW(Ehdr)>(0);
  if (header == nullptr || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return nullptr;
  const auto* sections = At<ElfW(Shdr)>(header->e_shoff, header->e_shnum);
  if (sections == nullptr || header->e_shentsize != sizeof *sections) return nullptr;
  for (unsigned i = 0; i < header->e_shnum; ++i) {
    if (sections[i].sh_type != SHT_SYMTAB || sections[i].sh_link >= header->e_shnum) continue;
    const auto& names = sections[sections[i].sh_link];
    const size_t count = sections[i].sh_size / sizeof(ElfW(Sym));
    const auto* symbols = At<ElfW(Sym)>(sections[i].sh_offset, count);
    const char* text = At<char>(names.sh_offset, names.sh_size);
    // A table of names ends with a NUL, so none runs out of it.
    if (symbols == nullptr || text == nullptr || names.sh_size == 0 || text[names.sh_size - 1] != '\0') return nullptr;
    for (const auto* symbol = symbols; symbol != symbols + count; ++symbol) {
      if (symbol->st_shndx == SHN_UNDEF || symbol->st_name >= names.sh_size) continue;
      if (!matches(*symbol, text + symbol->st_name, wanted)) continue;
      if (name != nullptr) *name = text + symbol->st_name;
      return symbol;
    }
  }
  return nullptr;
}

}  // namespace atfork

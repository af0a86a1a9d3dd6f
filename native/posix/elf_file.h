// elf_file.h - the file that a loaded shared object, or the program itself, came from.
//
// Thread: any. Not async-signal-safe. Never allocates.
#ifndef ATFORK_POSIX_ELF_FILE_H_
#define ATFORK_POSIX_ELF_FILE_H_

#include <link.h>

#include <cstddef>

namespace atfork {

// A whole file, mapped for reading; empty when it cannot be.
class ElfFile {
 public:
  explicit ElfFile(const char* path);
  ~ElfFile();
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  // Whether it is what `loaded` was loaded from: the build id, which tells one build from every other, is among its
  // notes.
  bool IsFileOf(const dl_phdr_info& loaded) const;

  // The first symbol of the full table (.symtab) that `matches` says it is, or null; `name` receives its name. Names
  // and symbols are valid for as long as this object.
  const ElfW(Sym) * FindSymbol(bool (*matches)(const ElfW(Sym) & symbol, const char* name, const void* wanted),
                               const void* wanted, const char** name = nullptr) const;

 private:
  // `count` values of type T at `offset`; null when the file is not that long.
  template <typename T>
  const T* At(size_t offset, size_t count = 1) const {
    const bool inside = offset <= size_ && count <= (size_ - offset) / sizeof(T);
    return inside ? reinterpret_cast<const T*>(begin_ + offset) : nullptr;
  }

  const char* begin_ = nullptr;
  size_t size_ = 0;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_ELF_FILE_H_

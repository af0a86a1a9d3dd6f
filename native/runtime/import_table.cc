// import_table.cc - finds and rewrites import slots of the runtime module.
// Runs in:  the main thread: the parent, at load and at the first fork; a child that is not whole yet.
// Calls:    dl_iterate_phdr(3), dladdr(3), mprotect(2).
// Rests on: the System V gABI (PT_DYNAMIC, DT_JMPREL, DT_RELA) and the JUMP_SLOT and GLOB_DAT relocations of the psABI.
//           With full RELRO the slots lie in pages that the loader made read-only: they are opened for the one store.
#include "runtime/import_table.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>

namespace atfork::runtime {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kJumpSlot = R_X86_64_JUMP_SLOT;
constexpr uint32_t kGlobDat = R_X86_64_GLOB_DAT;
#elif defined(__aarch64__)
constexpr uint32_t kJumpSlot = R_AARCH64_JUMP_SLOT;
constexpr uint32_t kGlobDat = R_AARCH64_GLOB_DAT;
#else
#error "atfork: the relocation types of this architecture are not known"
#endif

struct Module {
  uintptr_t anchor;  // an address inside, to find it by
  uintptr_t base = 0;
  ModuleSpan span = {};
  ModuleSpan relro = {};
  const ElfW(Dyn) * dynamic = nullptr;
};

int VisitModule(struct dl_phdr_info* info, size_t, void* data) {
  auto* module = static_cast<Module*>(data);
  ModuleSpan span = {UINTPTR_MAX, 0}, relro = {0, 0};
  const ElfW(Dyn)* dynamic = nullptr;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    const uintptr_t begin = info->dlpi_addr + header.p_vaddr;
    const uintptr_t end = begin + header.p_memsz;
    if (header.p_type == PT_LOAD) {
      if (begin < span.begin) span.begin = begin;
      if (end > span.end) span.end = end;
    } else if (header.p_type == PT_GNU_RELRO) {
      // The loader seals whole pages only: the last, partial one stays writable (elf/dl-reloc.c).
      const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
      relro = {begin & ~(page - 1), end & ~(page - 1)};
    } else if (header.p_type == PT_DYNAMIC) {
      dynamic = reinterpret_cast<const ElfW(Dyn)*>(begin);
    }
  }
  if (!span.Contains(module->anchor)) return 0;
  module->base = info->dlpi_addr;
  module->span = span;
  module->relro = relro;
  module->dynamic = dynamic;
  return 1;
}

Result<Module> FindModule() {
  void* anchor = dlsym(RTLD_DEFAULT, "uv_queue_work");
  if (anchor == nullptr) return Error::Refused("ERR_ATFORK_UNSUPPORTED", "load", "no module exports uv_queue_work");
  Module module = {reinterpret_cast<uintptr_t>(anchor)};
  if (dl_iterate_phdr(VisitModule, &module) == 0 || module.dynamic == nullptr) {
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "load", "the runtime module has no dynamic section");
  }
  return module;
}

// Found once: it stays where it is, and in a child that is not whole yet the loader's locks are not to be taken.
const Result<Module>& RuntimeModule() {
  static const Result<Module> module = FindModule();
  return module;
}

// A value of the dynamic section. glibc relocates these addresses in place when the section is writable.
uintptr_t DynamicValue(const Module& module, ElfW(Sxword) tag, bool is_address) {
  for (const ElfW(Dyn)* entry = module.dynamic; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag != tag) continue;
    const uintptr_t value = entry->d_un.d_ptr;
    return is_address && value < module.base ? value + module.base : value;
  }
  return 0;
}

bool StoreSlot(const Module& module, void** slot, void* replacement) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(slot);
  void* start = reinterpret_cast<void*>(address & ~(page - 1));
  const bool sealed = module.relro.Contains(address);
  if (sealed && mprotect(start, page, PROT_READ | PROT_WRITE) != 0) return false;
  __atomic_store_n(slot, replacement, __ATOMIC_RELEASE);
  // Failing to seal again leaves a page writable, no more.
  if (sealed) mprotect(start, page, PROT_READ);
  return true;
}

}  // namespace

Result<ModuleSpan> FindRuntimeModule() {
  const Result<Module>& module = RuntimeModule();
  if (!module) return module.error();
  return module.value().span;
}

Status ReplaceImport(const char* symbol, void* replacement, void** original) {
  const Result<Module>& found = RuntimeModule();
  if (!found) return found.error();
  const Module& module = found.value();
  const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(DynamicValue(module, DT_SYMTAB, true));
  const auto* strings = reinterpret_cast<const char*>(DynamicValue(module, DT_STRTAB, true));
  const struct {
    uintptr_t table;
    uintptr_t bytes;
  } tables[] = {{DynamicValue(module, DT_JMPREL, true), DynamicValue(module, DT_PLTRELSZ, false)},
                {DynamicValue(module, DT_RELA, true), DynamicValue(module, DT_RELASZ, false)}};
  int replaced = 0;
  for (const auto& [table, bytes] : tables) {
    const auto* begin = reinterpret_cast<const ElfW(Rela)*>(table);
    const auto* end = begin + bytes / sizeof *begin;
    for (const ElfW(Rela)* entry = begin; entry != end; ++entry) {
      const auto type = static_cast<uint32_t>(ELF64_R_TYPE(entry->r_info));
      if (type != kJumpSlot && type != kGlobDat) continue;
      if (std::strcmp(strings + symbols[ELF64_R_SYM(entry->r_info)].st_name, symbol) != 0) continue;
      void** slot = reinterpret_cast<void**>(module.base + entry->r_offset);
      if (*slot != replacement) *original = *slot;
      if (!StoreSlot(module, slot, replacement)) return Error::Errno("mprotect", "load");
      ++replaced;
    }
  }
  if (replaced == 0) {
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "load",
                          std::string("the runtime module does not import ") + symbol);
  }
  return Unit{};
}

Status ReplaceImports(const ImportReplacement* replacements, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    Status replaced = ReplaceImport(replacements[i].symbol, replacements[i].replacement, replacements[i].original);
    if (!replaced) return replaced;
  }
  return Unit{};
}

}  // namespace atfork::runtime

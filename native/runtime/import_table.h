// import_table.h - replaces functions that the runtime module (the node executable, or libnode) imports from libc.
//
// The kernel does not tell cheaply which mappings V8 has marked MADV_DONTFORK, nor which thread runs a JavaScript
// Worker, nor that a call is Node's reset of stdio at exit. The runtime's own calls do, and they all go through its
// import slots (the PLT's GOT entries, and GLOB_DAT ones where a function's address is taken). Only the runtime
// module's slots are changed; every other library keeps calling libc directly.
#ifndef ATFORK_RUNTIME_IMPORT_TABLE_H_
#define ATFORK_RUNTIME_IMPORT_TABLE_H_

#include <cstddef>
#include <cstdint>

#include "posix/result.h"

namespace atfork::runtime {

// A module's place in memory: [begin, end) of its loaded segments.
struct ModuleSpan {
  uintptr_t begin;
  uintptr_t end;
  bool Contains(uintptr_t address) const { return address >= begin && address < end; }
};

// The module that holds libuv and V8: the one that defines uv_queue_work. Main thread, at load.
Result<ModuleSpan> FindRuntimeModule();

// Points every slot of the runtime module that imports `symbol` at `replacement`. `original` receives what the slots
// held. An error when there is no slot: the caller's reason to replace it is then gone, or cannot be served.
// Main thread. In a child it takes no lock and, when it succeeds, no memory. The slots are pointer-sized and aligned,
// so threads that call through them meanwhile see the old function or the new one.
Status ReplaceImport(const char* symbol, void* replacement, void** original);

struct ImportReplacement {
  const char* symbol;
  void* replacement;
  void** original;
};

// ReplaceImport for each; stops at the first that fails.
Status ReplaceImports(const ImportReplacement* replacements, size_t count);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_IMPORT_TABLE_H_

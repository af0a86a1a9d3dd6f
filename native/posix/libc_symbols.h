// libc_symbols.h - where libc keeps a variable that it means for debuggers only.
#ifndef ATFORK_POSIX_LIBC_SYMBOLS_H_
#define ATFORK_POSIX_LIBC_SYMBOLS_H_

#include <cstdint>

#include "posix/result.h"

namespace atfork {

// The address of a data symbol of libc, whether or not libc exports it. Null: it has none of that name; or it hides it,
// and its file was stripped or is not any more the one that was loaded.
const void* FindLibcSymbol(const char* name);

// The offset in bytes of a field of one of libc's private structs, from the descriptor that libc has for libthread_db.
// Errors: ERR_ATFORK_UNSUPPORTED, naming the symbol: it is not there, or the field has not got `bytes` bytes.
Result<uint32_t> FindLibcField(const char* symbol, uint32_t bytes);

}  // namespace atfork

#endif  // ATFORK_POSIX_LIBC_SYMBOLS_H_

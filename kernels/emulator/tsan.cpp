// The functions that code compiled with -fsanitize=thread calls for every load and store. No other object file refers
// to this one, so only programs with instrumented kernels contain it; libtsan is not linked.
#include <cstddef>

#include "kernels/emulator/block.hpp"
#include "kernels/emulator/observer.hpp"

namespace fer::emulated {

Observer* make_shadow();

namespace {

// Host code of instrumented files (launchers) comes here as well: it runs outside of any kernel.
void note(const void* p, std::size_t bytes, Access kind, const void* code) {
    if (current_thread != nullptr) {
        observer->access(p, bytes, kind, code);
    }
}

}  // namespace

}  // namespace fer::emulated

using fer::emulated::Access;
using fer::emulated::note;

extern "C" {

/// Called by a constructor in every instrumented file, before main.
void __tsan_init() { fer::emulated::observer = fer::emulated::make_shadow(); }

#define FER_ACCESS(bytes)                                                                                        \
    void __tsan_read##bytes(void* p) { note(p, bytes, Access::kRead, __builtin_return_address(0)); }             \
    void __tsan_write##bytes(void* p) { note(p, bytes, Access::kWrite, __builtin_return_address(0)); }           \
    void __tsan_unaligned_read##bytes(void* p) { note(p, bytes, Access::kRead, __builtin_return_address(0)); }   \
    void __tsan_unaligned_write##bytes(void* p) { note(p, bytes, Access::kWrite, __builtin_return_address(0)); } \
    void __tsan_volatile_read##bytes(void* p) { note(p, bytes, Access::kRead, __builtin_return_address(0)); }    \
    void __tsan_volatile_write##bytes(void* p) { note(p, bytes, Access::kWrite, __builtin_return_address(0)); }
FER_ACCESS(1)
FER_ACCESS(2)
FER_ACCESS(4)
FER_ACCESS(8)
FER_ACCESS(16)
#undef FER_ACCESS

void __tsan_read_range(void* p, unsigned long bytes) { note(p, bytes, Access::kRead, __builtin_return_address(0)); }
void __tsan_write_range(void* p, unsigned long bytes) { note(p, bytes, Access::kWrite, __builtin_return_address(0)); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

// The guards of function-local statics in host code.
unsigned char __tsan_atomic8_load(const volatile unsigned char* p, int) { return *p; }

}  // extern "C"

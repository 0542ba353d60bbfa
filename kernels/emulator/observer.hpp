// What the instrumented build wants to know of an execution. A program whose kernels are instrumented installs an
// observer (shadow.cpp) before main; all others have none and pay one comparison per event.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fer::emulated {

enum class Access : std::uint8_t { kRead, kWrite, kAtomic };

class Observer {
public:
    virtual ~Observer() = default;

    virtual void grid_begins() = 0;
    virtual void block_begins() = 0;
    /// All threads of the block have met.
    virtual void block_meets() = 0;
    /// The lanes of `mask` have met in __syncwarp, which orders their accesses; shuffles and votes do not.
    virtual void warp_meets(unsigned warp, unsigned mask) = 0;
    /// The running thread touches memory; `code` is the address after the instruction.
    virtual void access(const void* p, std::size_t bytes, Access kind, const void* code) = 0;
    /// The running thread starts a cp.async to `dst`; or one of its copies is complete.
    virtual void copy_starts(const void* dst, std::size_t bytes, const void* code) = 0;
    virtual void copy_lands(const void* dst, std::size_t bytes, const void* code) = 0;
    /// The running thread's block has taken a ticket of `counter`; `last`: of all blocks, the last.
    virtual void ticket(const void* counter, bool last) = 0;

    /// Host side: the bytes now hold values; or nothing that may be read; or what `from` holds.
    virtual void becomes_defined(const void* p, std::size_t bytes) = 0;
    virtual void becomes_undefined(const void* p, std::size_t bytes) = 0;
    virtual void becomes_copy(const void* p, const void* from, std::size_t bytes) = 0;
};

extern Observer* observer;  // null in plain builds

}  // namespace fer::emulated

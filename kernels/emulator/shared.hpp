// The shared memory of the running block: poisoned when the block starts, with red zones between variables.
#pragma once

#include <cstddef>
#include <string>

namespace fer::emulated {

inline constexpr std::size_t kMostShared = 227 << 10;       // per block, static and dynamic (compute capability 9.0)
inline constexpr std::size_t kMostStaticShared = 48 << 10;  // what FER_SHARED may take

/// The variable of this block known by `key`, laid out at its first use.
void* shared_variable(const void* key, std::size_t bytes, std::size_t alignment, const char* name);
void* dynamic_shared();

/// The arena lies at one place for the life of the program.
const char* shared_base();
inline constexpr std::size_t kSharedArena = 2 * kMostShared;

struct SharedRange {
    const char* begin = nullptr;
    std::size_t bytes = 0;

    bool holds(const void* p, std::size_t n) const {
        const auto* at = static_cast<const char*>(p);
        return at >= begin && at + n <= begin + bytes;
    }
};
/// The variable of the running block that `p` lies in; empty if it lies in none.
SharedRange find_shared(const void* p);
inline bool shared_holds(const void* p, std::size_t bytes) { return find_shared(p).holds(p, bytes); }
/// "shared 'tile' + 68 bytes"; "shared memory 4 bytes past 'tile'"
std::string describe_shared(const void* p);

// For the scheduler.
void shared_block_begins(std::size_t dynamic_bytes);
/// What was written between the variables, if anything.
std::string shared_overrun();

}  // namespace fer::emulated

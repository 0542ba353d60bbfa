// Device memory. Every allocation ends at a page that cannot be touched, starts as 0xFF bytes (NaN in every
// floating-point type), and its addresses are never used again after it is freed: reading or writing past the end, or
// after the free, stops the kernel at that very instruction.
#pragma once

#include <cstddef>
#include <string>

namespace fer::emulated {

/// Aligned to 16 bytes, not to the 256 of a real device, so that the end is as close to the guard page as it can be.
/// Larger allocations than this are left as zero pages, which cost nothing until touched.
inline constexpr std::size_t kMostPoisoned = std::size_t{256} << 20;

/// Addresses for `bytes`; null if the capacity is exceeded. Not accessible before device_commit().
void* device_reserve(std::size_t bytes);
void device_commit(void* p);
/// False if `p` is not the beginning of a live allocation.
bool device_free(void* p);
void free_all_memory();

struct Allocation {
    char* begin = nullptr;
    std::size_t bytes = 0;
    bool live = false;
};
/// The allocation that `p` lies in, or that it lies nearest behind; begin == null if there is none.
Allocation find_allocation(const void* p);
bool is_device_memory(const void* p);
/// "global memory of 4096 bytes + 128 bytes"; "global memory 4 bytes past an allocation of 4096 bytes"
std::string describe_memory(const void* p);

/// What was written just outside of live allocations, between them and their pages; checked as well when they are
/// freed.
std::string device_overrun();

struct Capacity {
    std::size_t total = std::size_t{16} << 30;
    std::size_t used = 0;
    std::size_t peak = 0;
    std::size_t live = 0;  // allocations
};
/// `total` may be set, to see what happens when memory runs out.
Capacity& capacity();

/// The range of addresses in which all allocations lie.
const char* device_base();
inline constexpr std::size_t kDeviceArena = std::size_t{512} << 30;

}  // namespace fer::emulated

#include "kernels/emulator/async_copy.hpp"

#include <cstdint>
#include <cstring>

#include "engine/core/error.hpp"
#include "kernels/emulator/block.hpp"
#include "kernels/emulator/observer.hpp"
#include "kernels/emulator/schedule.hpp"
#include "kernels/emulator/shared.hpp"
#include "kernels/emulator/symbols.hpp"

namespace fer::emulated {

namespace {

void land(const AsyncCopy& copy) {
    if (copy.valid) {
        std::memcpy(copy.dst, copy.src, copy.bytes);
    } else {
        std::memset(copy.dst, 0, copy.bytes);
    }
}

}  // namespace

__attribute__((noinline)) void async_copy(void* dst, const void* src, unsigned bytes, bool valid) {
    const void* const code = __builtin_return_address(0);
    const AsyncCopy copy{dst, src, bytes, valid, current_thread->async_group};
    if (reinterpret_cast<std::uintptr_t>(dst) % bytes != 0 || reinterpret_cast<std::uintptr_t>(src) % bytes != 0) {
        FER_FAULT("misaligned cp.async of {} bytes at {}: from {} to {}", bytes, describe_code(code), src, dst);
    }
    if (!shared_holds(dst, bytes)) {
        FER_FAULT("cp.async at {} writes outside of shared variables: {}", describe_code(code), describe_shared(dst));
    }
    if (observer != nullptr) {
        if (valid) {
            observer->access(src, bytes, Access::kRead, code);
        }
        observer->copy_starts(dst, bytes, code);
    }
    if (schedule().landing == Landing::kAtIssue) {
        land(copy);
    }
    current_thread->copies.push_back(copy);
}

void async_commit() { ++current_thread->async_group; }

__attribute__((noinline)) void async_wait(unsigned newest) {
    Thread& me = *current_thread;
    std::size_t kept = 0;
    for (const AsyncCopy& copy : me.copies) {
        if (copy.group + newest >= me.async_group) {  // among the newest groups, or in none yet
            me.copies[kept++] = copy;
            continue;
        }
        if (schedule().landing == Landing::kAtWait) {
            land(copy);
        }
        if (observer != nullptr) {
            observer->copy_lands(copy.dst, copy.bytes, __builtin_return_address(0));
        }
    }
    me.copies.resize(kept);
}

}  // namespace fer::emulated

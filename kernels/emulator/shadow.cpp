// The observer of instrumented builds: finds races, accesses out of bounds, reads of undefined memory, misalignment.
//
// Two accesses to a byte race if they come from different threads, at least one writes, not both are atomic, and
// nothing orders them: no __syncthreads between them (epochs differ), no __syncwarp that both lanes attended (vector
// clocks of a warp), and for different blocks no ticket of last_block_ticket(). Whether a race is found does not depend
// on the schedule, because accesses are compared by what orders them, not by when they happened.
#include "kernels/emulator/shadow.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <vector>

#include "engine/core/error.hpp"
#include "kernels/emulator/block.hpp"
#include "kernels/emulator/memory.hpp"
#include "kernels/emulator/observer.hpp"
#include "kernels/emulator/shared.hpp"
#include "kernels/emulator/symbols.hpp"

namespace fer::emulated {

namespace {

Cell* map_cells(std::size_t bytes) {
    void* memory =
        mmap(nullptr, bytes * sizeof(Cell), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    FER_ASSERT(memory != MAP_FAILED, "emulator: no address space for the shadow of device memory");
    return static_cast<Cell*>(memory);
}

// Code addresses as 32-bit offsets from this function: kernels and emulator are linked into one program.
const char* anchor() { return reinterpret_cast<const char*>(&anchor); }
std::uint32_t pack_code(const void* code) {
    return static_cast<std::uint32_t>(static_cast<const char*>(code) - anchor());
}
const void* unpack_code(std::uint32_t code) { return anchor() + static_cast<std::int32_t>(code); }

const char* verb(Access kind) {
    switch (kind) {
        case Access::kRead:
            return "reads";
        case Access::kWrite:
            return "writes";
        case Access::kAtomic:
            return "updates";
    }
    return "?";
}

class Shadow final : public Observer {
public:
    void grid_begins() override {
        grid_epoch_ = ++epoch_;
        blocks_.clear();
        tickets_.clear();
        allocation_ = {};
        last_ticket_ = 0;
    }

    void block_begins() override {
        block_epoch_ = ++epoch_;
        blocks_.push_back({block_epoch_, current_block});
        acquired_.clear();
        variable_ = {};
        start_clocks();
        // Shared memory starts anew: what the cells say is about another block.
        for (std::size_t i = 0; i < shared_used_; ++i) {
            shared_cells_[i] = Cell{};
        }
        shared_used_ = 0;
    }

    void block_meets() override {
        ++epoch_;
        start_clocks();
    }

    void warp_meets(unsigned warp, unsigned mask) override {
        auto& clocks = clocks_[warp];
        std::array<std::uint16_t, 32> joined{};
        for (unsigned lane = 0; lane < 32; ++lane) {
            if ((mask >> lane & 1) != 0) {
                for (unsigned other = 0; other < 32; ++other) {
                    joined[other] = std::max(joined[other], clocks[lane][other]);
                }
            }
        }
        for (unsigned lane = 0; lane < 32; ++lane) {
            if ((mask >> lane & 1) != 0) {
                clocks[lane] = joined;
                ++clocks[lane][lane];  // what it does from now on, the others have not seen
            }
        }
    }

    void ticket(const void* counter, bool last) override {
        if (last_ticket_ == epoch_) {  // the first thread to come speaks for the block
            return;
        }
        last_ticket_ = epoch_;
        // Released: all that this block did before the barriers inside of last_block_ticket().
        auto& released = tickets_[counter];
        released.push_back({block_epoch_, epoch_ - 1});
        if (last) {
            for (const auto& [block, until] : released) {
                acquired_[block] = std::max(acquired_[block], until);
            }
            tickets_.erase(counter);
        }
    }

    void access(const void* p, std::size_t bytes, Access kind, const void* code) override {
        ++work().accesses;
        Cell* const cells = find(p, bytes, kind, code);
        if (cells == nullptr) {
            return;
        }
        // Other sizes are structs, which g++ copies as a range of bytes and nvcc member by member.
        if (std::has_single_bit(bytes) && bytes <= 16 && reinterpret_cast<std::uintptr_t>(p) % bytes != 0) {
            report(fmt::format("misaligned access: {} {} {} bytes of {} at {}", describe_thread(*current_thread),
                               verb(kind), bytes, describe(p), describe_code(code)));
        }
        const Stamp now = stamp(code);
        for (std::size_t i = 0; i < bytes; ++i) {
            if (!touch(cells[i], now, static_cast<const char*>(p) + i, bytes, kind, code)) {
                return;  // one report per access
            }
        }
    }

    void copy_starts(const void* dst, std::size_t bytes, const void* code) override {
        Cell* const cells = find(dst, bytes, Access::kWrite, code);
        if (cells == nullptr) {
            return;
        }
        const Stamp now = stamp(code);
        for (std::size_t i = 0; i < bytes; ++i) {
            if (!touch(cells[i], now, static_cast<const char*>(dst) + i, bytes, Access::kWrite, code)) {
                return;
            }
        }
        for (std::size_t i = 0; i < bytes; ++i) {
            cells[i].in_flight = true;
        }
    }

    // From here on the copy is an ordinary write of the waiting thread: others need a barrier to see it.
    void copy_lands(const void* dst, std::size_t bytes, const void* code) override {
        Cell* const cells = find(dst, bytes, Access::kWrite, code);
        const Stamp now = stamp(code);
        for (std::size_t i = 0; cells != nullptr && i < bytes; ++i) {
            cells[i].in_flight = false;
            cells[i].write = now;
            cells[i].defined = true;
        }
    }

    void becomes_defined(const void* p, std::size_t bytes) override { define(p, bytes, true); }
    void becomes_undefined(const void* p, std::size_t bytes) override {
        if (bytes <= kMostPoisoned) {  // larger ones were never touched, so their cells say so already
            define(p, bytes, false);
        }
    }
    void becomes_copy(const void* p, const void* from, std::size_t bytes) override {
        for (std::size_t i = 0; i < bytes; ++i) {
            device_cell(p)[i].defined = device_cell(from)[i].defined;
        }
    }

private:
    Cell* device_cell(const void* p) { return device_cells_ + (static_cast<const char*>(p) - device_base_); }

    void define(const void* p, std::size_t bytes, bool defined) {
        Cell* const cells = device_cell(p);
        for (std::size_t i = 0; i < bytes; ++i) {
            cells[i].defined = defined;
        }
    }

    // The cells of an access; null, and a report where it belongs, if there are none.
    Cell* find(const void* p, std::size_t bytes, Access kind, const void* code) {
        const auto* at = static_cast<const char*>(p);
        if (at >= shared_base_ && at < shared_base_ + kSharedArena) {
            if (!variable_.holds(p, bytes)) {
                variable_ = find_shared(p);
            }
            if (!variable_.holds(p, bytes)) {
                report(fmt::format("out-of-bounds shared access: {} {} {} bytes at {}: {}",
                                   describe_thread(*current_thread), verb(kind), bytes, describe_code(code),
                                   describe_shared(p)));
                return nullptr;
            }
            const auto offset = static_cast<std::size_t>(at - shared_base_);
            shared_used_ = std::max(shared_used_, offset + bytes);
            return shared_cells_ + offset;
        }
        if (at < device_base_ || at >= device_base_ + kDeviceArena) {
            return nullptr;  // a thread's own stack, constants
        }
        if (at < allocation_.begin || at + bytes > allocation_.begin + allocation_.bytes || !allocation_.live) {
            allocation_ = find_allocation(p);
            if (allocation_.begin == nullptr || !allocation_.live ||
                at + bytes > allocation_.begin + allocation_.bytes) {
                report(fmt::format("out-of-bounds global access: {} {} {} bytes at {}: {}",
                                   describe_thread(*current_thread), verb(kind), bytes, describe_code(code),
                                   describe_memory(p)));
                allocation_ = {};
                return nullptr;
            }
        }
        return device_cell(p);
    }

    void start_clocks() {
        const unsigned warps = (block_size() + 31) / 32;
        for (unsigned w = 0; w < warps; ++w) {
            for (unsigned lane = 0; lane < 32; ++lane) {
                clocks_[w][lane].fill(0);
                clocks_[w][lane][lane] = 1;
            }
        }
    }

    Stamp stamp(const void* code) const {
        const Thread& t = *current_thread;
        return {epoch_, pack_code(code), static_cast<std::uint16_t>(t.rank), clocks_[t.warp][t.lane][t.lane]};
    }

    // Whether what `before` did is ordered before what the running thread does now.
    bool is_ordered(const Stamp& before) {
        if (before.epoch < grid_epoch_) {
            return true;  // none, or an earlier launch
        }
        if (before.epoch < block_epoch_) {  // another block of this launch
            const auto block =
                std::prev(std::upper_bound(blocks_.begin(), blocks_.end(), before.epoch,
                                           [](std::uint32_t epoch, const BlockBegin& b) { return epoch < b.epoch; }));
            const auto found = acquired_.find(block->epoch);
            return found != acquired_.end() && before.epoch <= found->second;
        }
        if (before.epoch < epoch_) {
            return true;  // a barrier of this block lies between
        }
        const Thread& me = *current_thread;
        if (before.thread == me.rank) {
            return true;
        }
        return before.thread / 32u == me.warp && before.clock <= clocks_[me.warp][me.lane][before.thread % 32];
    }

    // Checks one byte and records the access; false if something was reported.
    bool touch(Cell& cell, const Stamp& now, const void* p, std::size_t bytes, Access kind, const void* code) {
        const bool writes = kind != Access::kRead;
        if (cell.in_flight) {
            cell.in_flight = false;
            report(fmt::format("race with cp.async: {} {} {} at {} before the copy started at {} was waited for",
                               describe_thread(*current_thread), verb(kind), describe(p), describe_code(code),
                               describe_code(unpack_code(cell.write.code))));
            return false;
        }
        if (kind != Access::kWrite && !cell.defined) {
            cell.defined = true;
            report(fmt::format("uninitialised read: {} {} {} at {}", describe_thread(*current_thread), verb(kind),
                               describe(p), describe_code(code)));
            return false;
        }
        if (!(kind == Access::kAtomic && cell.atomic) && !is_ordered(cell.write)) {
            return report_race(cell.write, writes ? "write after write" : "read after write", p, bytes, kind, code);
        }
        if (!writes) {
            Stamp& slot = is_ordered(cell.reads[0]) ? cell.reads[0] : cell.reads[1];
            slot = now;
            return true;
        }
        for (Stamp& read : cell.reads) {
            if (!is_ordered(read)) {
                return report_race(read, "write after read", p, bytes, kind, code);
            }
        }
        cell.write = now;
        cell.atomic = kind == Access::kAtomic;
        cell.defined = true;
        return true;
    }

    bool report_race(Stamp& other, const char* kind, const void* p, std::size_t bytes, Access access,
                     const void* code) {
        report(fmt::format("race, {}: {}\n    {} {} {} bytes at {}\n    {} {} there at {}", kind, describe(p),
                           describe_thread(*current_thread), verb(access), bytes, describe_code(code),
                           describe_other(other), std::strcmp(kind, "write after read") == 0 ? "reads" : "writes",
                           describe_code(unpack_code(other.code))));
        other = {};  // once is enough
        return false;
    }

    std::string describe_other(const Stamp& stamp) {
        const dim3 dim = current_grid.block;
        const auto block =
            std::prev(std::upper_bound(blocks_.begin(), blocks_.end(), stamp.epoch,
                                       [](std::uint32_t epoch, const BlockBegin& b) { return epoch < b.epoch; }));
        const unsigned rank = stamp.thread;
        return fmt::format("thread ({},{},{}) of block ({},{},{})", rank % dim.x, rank / dim.x % dim.y,
                           rank / dim.x / dim.y, block->index.x, block->index.y, block->index.z);
    }

    static std::string describe(const void* p) { return is_device_memory(p) ? describe_memory(p) : describe_shared(p); }

    struct BlockBegin {
        std::uint32_t epoch;
        uint3 index;
    };

    const char* const device_base_ = device_base();
    const char* const shared_base_ = shared_base();
    Cell* const device_cells_ = map_cells(kDeviceArena);
    Cell* const shared_cells_ = map_cells(kSharedArena);
    std::size_t shared_used_ = 0;
    Allocation allocation_;  // the last one found: accesses come in runs
    SharedRange variable_;   // likewise

    std::uint32_t epoch_ = 0;
    std::uint32_t grid_epoch_ = 0;
    std::uint32_t block_epoch_ = 0;
    std::vector<BlockBegin> blocks_;  // of this grid, in the order in which they ran
    std::array<std::array<std::uint16_t, 32>, 32> clocks_[32] = {};

    // By ticket counter: the blocks that took one (by the epoch in which they began), and up to which epoch.
    std::map<const void*, std::vector<std::pair<std::uint32_t, std::uint32_t>>> tickets_;
    std::uint32_t last_ticket_ = 0;                    // the epoch in which the last one was taken
    std::map<std::uint32_t, std::uint32_t> acquired_;  // by the running block: other blocks' epochs it may rely on
};

}  // namespace

Observer* make_shadow() {
    static Shadow* const instance = new Shadow;
    return instance;
}

}  // namespace fer::emulated

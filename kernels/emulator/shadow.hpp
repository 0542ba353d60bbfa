// The instrumented build's memory of who touched what: for every byte of device and shared memory its last write, two
// of its last reads, and whether it holds a value.
#pragma once

#include <cstdint>

namespace fer::emulated {

/// One access, as far as it matters for its order with later ones. Epochs count the intervals between the barriers of
/// all blocks of all grids; a clock counts the __syncwarp of one thread within an epoch.
struct Stamp {
    std::uint32_t epoch = 0;  // 0: none
    std::uint32_t code = 0;   // offset of the code address, for the report
    std::uint16_t thread = 0;
    std::uint16_t clock = 0;
};

struct Cell {
    Stamp write;
    Stamp reads[2];
    bool defined = false;
    bool atomic = false;     // the last write was
    bool in_flight = false;  // a cp.async to it has started and was not waited for
};

}  // namespace fer::emulated

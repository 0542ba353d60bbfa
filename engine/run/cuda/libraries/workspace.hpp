// One block of scratch memory shared out to the parts of a node.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fer::cuda {

class Parts {
public:
    /// Reserves; returns the offset.
    std::int64_t add(std::int64_t bytes) {
        const std::int64_t offset = bytes_;
        bytes_ += (bytes + 255) / 256 * 256;
        return offset;
    }
    std::int64_t bytes() const { return bytes_; }

private:
    std::int64_t bytes_ = 0;
};

inline void* at(void* workspace, std::int64_t offset) { return static_cast<char*>(workspace) + offset; }

}  // namespace fer::cuda

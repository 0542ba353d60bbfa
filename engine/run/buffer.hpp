// Host memory that knows its size.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "engine/core/error.hpp"

namespace fer {

/// Zeroed bytes aligned for any vector unit. Counts every allocation, so that a test can show there is none per step.
class Buffer {
public:
    static constexpr std::size_t kAlignment = 256;

    Buffer() = default;
    explicit Buffer(std::int64_t bytes) : bytes_(bytes) {
        if (bytes > 0) {
            ++allocations();
            const auto rounded = (static_cast<std::size_t>(bytes) + kAlignment - 1) / kAlignment * kAlignment;
            memory_.reset(static_cast<char*>(std::aligned_alloc(kAlignment, rounded)));
            if (memory_ == nullptr) {
                throw MemoryError(fmt::format("out of memory: {} bytes could not be allocated", bytes))
                    .try_this("a smaller --batch");
            }
            std::memset(memory_.get(), 0, rounded);
        }
    }

    char* data() const { return memory_.get(); }
    std::int64_t bytes() const { return bytes_; }

    static std::int64_t& allocations() {
        static std::int64_t count = 0;
        return count;
    }

private:
    struct Free {
        void operator()(char* p) const { std::free(p); }
    };
    std::unique_ptr<char, Free> memory_;
    std::int64_t bytes_ = 0;
};

}  // namespace fer

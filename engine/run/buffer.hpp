// Memory of a device that knows its size.
#pragma once

#include <cstdint>
#include <utility>

#include "engine/run/runtime.hpp"

namespace fer {

/// Zeroed bytes aligned for any vector unit. Counts every allocation, so that a test can show there is none per step.
class Buffer {
public:
    explicit Buffer(Runtime& runtime) : runtime_(&runtime) {}
    Buffer(Runtime& runtime, std::int64_t bytes) : runtime_(&runtime), bytes_(bytes) {
        if (bytes > 0) {
            ++allocations();
            memory_ = static_cast<char*>(runtime.allocate(bytes));
        }
    }
    Buffer(Buffer&& other) noexcept : runtime_(other.runtime_) { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        Buffer old(std::move(*this));
        swap(other);
        return *this;
    }
    ~Buffer() {
        if (memory_ != nullptr) {
            runtime_->release(memory_);
        }
    }

    char* data() const { return memory_; }
    std::int64_t bytes() const { return bytes_; }
    Runtime& runtime() const { return *runtime_; }

    static std::int64_t& allocations() {
        static std::int64_t count = 0;
        return count;
    }

private:
    void swap(Buffer& other) noexcept {
        std::swap(runtime_, other.runtime_);
        std::swap(memory_, other.memory_);
        std::swap(bytes_, other.bytes_);
    }

    Runtime* runtime_;
    char* memory_ = nullptr;
    std::int64_t bytes_ = 0;
};

}  // namespace fer

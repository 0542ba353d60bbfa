// Device memory for tests of the port and of the emulator: no sentinels behind it, which would hide what the latter
// must find.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/port/check.hpp"
#include "kernels/port/runtime.hpp"

namespace fer::FER_PORT {

template <class T>
class Array {
public:
    /// Undefined content.
    explicit Array(std::size_t count) : count_(count) { FER_CUDA(cudaMalloc(&memory_, bytes())); }
    explicit Array(const std::vector<T>& values) : Array(values.size()) {
        FER_CUDA(cudaMemcpy(memory_, values.data(), bytes(), cudaMemcpyHostToDevice));
    }
    ~Array() { cudaFree(memory_); }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;

    T* get() const { return memory_; }
    std::size_t bytes() const { return count_ * sizeof(T); }
    std::vector<T> read() const {
        std::vector<T> values(count_);
        FER_CUDA(cudaMemcpy(values.data(), memory_, bytes(), cudaMemcpyDeviceToHost));
        return values;
    }

private:
    std::size_t count_;
    T* memory_ = nullptr;
};

}  // namespace fer::FER_PORT

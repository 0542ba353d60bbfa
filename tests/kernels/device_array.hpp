// Tensors in device memory for kernel tests, the same on the emulated and on a real device: outputs are poisoned first,
// sentinels lie behind every array, inputs are checked to be unchanged.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <source_location>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/port/check.hpp"
#include "kernels/port/convert.hpp"
#include "kernels/port/runtime.hpp"

namespace fer::FER_PORT {

/// Values as they are after storage in T: what a kernel sees and what a reference must be computed from.
template <class T>
T stored(double value) {
    if constexpr (std::is_same_v<T, __half>) {
        return __float2half_rn(static_cast<float>(value));
    } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
        return __float2bfloat16_rn(static_cast<float>(value));
    } else {
        return static_cast<T>(value);
    }
}

template <class T>
requires(!std::is_class_v<T> || sizeof(T) == 2) double as_double(T value) {
    if constexpr (std::is_same_v<T, __half>) {
        return static_cast<double>(__half2float(value));
    } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
        return static_cast<double>(__bfloat162float(value));
    } else {
        return static_cast<double>(value);
    }
}

template <class T>
class DeviceArray {
public:
    /// An input: its values are rounded to T. check_unchanged() compares them later.
    explicit DeviceArray(const std::vector<double>& values) : DeviceArray(values.size()) {
        for (const double v : values) {
            original_.push_back(stored<T>(v));
        }
        copy_in();
    }
    static DeviceArray of(std::vector<T> values) {
        DeviceArray array(values.size());
        array.original_ = std::move(values);
        array.copy_in();
        return array;
    }
    /// An output of `count` elements, every byte 0xFF: NaN in floating point. To the instrumented build neither these
    /// bytes nor the sentinels hold anything: a kernel that reads them is reported.
    explicit DeviceArray(std::size_t count) : count_(count) {
        FER_CUDA(cudaMalloc(&memory_, bytes() + kSentinel));
#if defined(FER_EMULATED)
        forget_content(memory_, bytes() + kSentinel);
        std::memset(static_cast<char*>(memory_) + bytes(), kMark, kSentinel);
#else
        FER_CUDA(cudaMemset(memory_, 0xFF, bytes()));
        FER_CUDA(cudaMemset(static_cast<char*>(memory_) + bytes(), kMark, kSentinel));
#endif
    }
    DeviceArray(DeviceArray&& other) noexcept
        : count_(other.count_),
          memory_(std::exchange(other.memory_, nullptr)),
          original_(std::move(other.original_)),
          inputs_(std::move(other.inputs_)) {}
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;
    ~DeviceArray() {
        if (memory_ != nullptr) {
            cudaFree(memory_);
        }
    }

    T* get() const { return static_cast<T*>(memory_); }
    std::size_t size() const { return count_; }

    /// Waits for the device, then copies out; fails the test if something wrote past the end.
    std::vector<T> read(const std::source_location& at = std::source_location::current()) const {
        FER_CUDA(cudaDeviceSynchronize());
        std::vector<T> values(count_);
        if (count_ > 0) {
            FER_CUDA(cudaMemcpy(values.data(), memory_, bytes(), cudaMemcpyDeviceToHost));
        }
        std::vector<unsigned char> behind(kSentinel);
        FER_CUDA(cudaMemcpy(behind.data(), static_cast<char*>(memory_) + bytes(), kSentinel, cudaMemcpyDeviceToHost));
        for (const unsigned char mark : behind) {
            EXPECT_EQ(mark, kMark) << "written past the end; " << at.file_name() << ":" << at.line();
            if (mark != kMark) {
                break;
            }
        }
        return values;
    }
    std::vector<double> doubles(const std::source_location& at = std::source_location::current()) const {
        std::vector<double> values;
        for (const T v : read(at)) {
            values.push_back(as_double(v));
        }
        return values;
    }
    /// The input as it was rounded to T.
    const std::vector<double>& inputs() const { return inputs_; }
    void expect_unchanged(const std::source_location& at = std::source_location::current()) const {
        const std::vector<T> now = read(at);
        EXPECT_TRUE(bytes() == 0 || std::memcmp(now.data(), original_.data(), bytes()) == 0)
            << "an input was changed; " << at.file_name() << ":" << at.line();
    }

private:
    static constexpr std::size_t kSentinel = 256;
    static constexpr unsigned char kMark = 0xA5;

    std::size_t bytes() const { return count_ * sizeof(T); }
    void copy_in() {
        if constexpr (requires(T v) { as_double(v); }) {
            inputs_.reserve(count_);
            for (const T v : original_) {
                inputs_.push_back(as_double(v));
            }
        }
        if (count_ > 0) {
            FER_CUDA(cudaMemcpy(memory_, original_.data(), bytes(), cudaMemcpyHostToDevice));
        }
    }

    std::size_t count_ = 0;
    void* memory_ = nullptr;
    std::vector<T> original_;
    std::vector<double> inputs_;
};

}  // namespace fer::FER_PORT

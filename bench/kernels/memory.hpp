// Device memory of one case: inputs hold random numbers or small integers. Every array is counted as it is asked for,
// so the bytes a bench declares are those of the arguments it passes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/dtype.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

enum class Content : std::uint8_t {
    kCount,     // nothing is allocated, pointers are null: to know the bytes
    kRandom,    // for measuring
    kIntegers,  // -2 .. 2: every sum is exact in float32, so devices must agree bit for bit
};

class Memory {
public:
    /// `poison`: outputs and workspaces start as NaN; without, as the device hands them out.
    explicit Memory(Content content, bool poison = true) : content_(content), poison_(poison) {}
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory();

    bool integers() const { return content_ == Content::kIntegers; }

    /// [-1, 1) or integers; bytes are 0 .. 255.
    void* input(std::int64_t count, DType type);
    float* floats(std::int64_t count) { return static_cast<float*>(input(count, DType::kF32)); }
    /// [0.5, 1.5), or 1 and 2: scales, variances.
    float* positive(std::int64_t count);
    /// 0 .. limit - 1.
    std::uint8_t* places(std::int64_t count, int limit);
    std::int32_t* labels(std::int64_t count, int limit);
    std::uint32_t* bits(std::int64_t words);
    /// These.
    template <class T>
    T* of(const std::vector<T>& values) {
        return static_cast<T*>(copy_of(values.data(), values.size() * sizeof(T)));
    }
    /// In place: read and written, so counted twice.
    void* updated(std::int64_t count, DType type);
    float* updated_floats(std::int64_t count) { return static_cast<float*>(updated(count, DType::kF32)); }
    float* updated_positive(std::int64_t count);
    template <class T>
    T* updated_of(const std::vector<T>& values) {
        return static_cast<T*>(updated_copy_of(values.data(), values.size() * sizeof(T)));
    }

    void* output(std::int64_t count, DType type);
    float* output_floats(std::int64_t count) { return static_cast<float*>(output(count, DType::kF32)); }
    /// Not counted; null for none.
    void* workspace(std::int64_t bytes);
    /// An input of which a launch reads only some; count that with reads().
    void* table(std::int64_t count, DType type);
    std::uint8_t* bytes_table(std::int64_t bytes) { return static_cast<std::uint8_t*>(table(bytes, DType::kU8)); }
    void reads(std::int64_t bytes) { counted_ += bytes; }

    /// What a launch must move: each element of inputs read once, of outputs written once.
    std::int64_t bytes() const { return counted_; }

    /// Waits for the device. An empty text, or a place left unwritten: NaN near the beginning or the end of a result.
    std::string unwritten() const;
    /// Of the outputs and of what was updated.
    std::uint64_t hash() const;

private:
    struct Result {
        void* at;
        std::int64_t bytes;
        DType type;
    };

    void* allocate(std::int64_t bytes);
    void* filled(std::int64_t count, std::size_t size, const std::vector<unsigned char>& pattern);
    void* copy_of(const void* values, std::size_t bytes);
    void* updated_copy_of(const void* values, std::size_t bytes);

    void* poisoned(std::int64_t bytes);

    Content content_;
    bool poison_;
    std::int64_t counted_ = 0;
    std::int64_t inputs_ = 0;
    std::vector<void*> memory_;
    std::vector<Result> results_;
};

}  // namespace fer::FER_PORT

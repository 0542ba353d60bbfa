#include "bench/kernels/memory.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "engine/core/error.hpp"
#include "engine/core/random.hpp"
#include "kernels/port/check.hpp"
#include "kernels/port/convert.hpp"
#include "kernels/port/runtime.hpp"

namespace fer::FER_PORT {
namespace {

using Pattern = std::vector<unsigned char>;

// Longer arrays repeat it. A prime: repetitions do not fall on the rows of any tensor.
constexpr std::int64_t kPatternElements = 1048573;

template <class T>
Pattern as_bytes(const std::vector<T>& values) {
    const auto* begin = reinterpret_cast<const unsigned char*>(values.data());
    return {begin, begin + values.size() * sizeof(T)};
}

/// Element i is made of random word i.
template <class Value>
Pattern pattern_of(Value value) {
    std::vector<decltype(value(0u))> values;
    values.reserve(kPatternElements);
    for (std::uint32_t block = 0; values.size() < kPatternElements; ++block) {
        for (const std::uint32_t word : random_words(1, 0, stream_of("bench"), block).v) {
            values.push_back(value(word));
        }
    }
    values.resize(kPatternElements);
    return as_bytes(values);
}

/// Made once per program.
const Pattern& cached(const std::string& name, const std::function<Pattern()>& make) {
    static std::map<std::string, Pattern> patterns;
    auto at = patterns.find(name);
    if (at == patterns.end()) {
        at = patterns.emplace(name, make()).first;
    }
    return at->second;
}

float small_integer(std::uint32_t word) { return static_cast<float>(static_cast<int>(word >> 16) % 5 - 2); }

const Pattern& numbers(DType type, bool integers) {
    return cached(fmt::format("{} {}", fer::name_of(type), integers), [&] {
        const auto value = [integers](std::uint32_t word) {
            return integers ? small_integer(word) : 2 * uniform01(word) - 1;
        };
        switch (type) {
            case DType::kF16:
                return pattern_of([&](std::uint32_t word) { return __float2half_rn(value(word)); });
            case DType::kBF16:
                return pattern_of([&](std::uint32_t word) { return __float2bfloat16_rn(value(word)); });
            case DType::kU8:
                return pattern_of([](std::uint32_t word) { return static_cast<std::uint8_t>(word >> 24); });
            default:
                FER_CHECK(type == DType::kF32, "no random numbers of {}", fer::name_of(type));
                return pattern_of(value);
        }
    });
}

template <class T>
bool is_nan(const unsigned char* at) {
    T value;
    std::copy_n(at, sizeof(T), reinterpret_cast<unsigned char*>(&value));
    if constexpr (std::is_same_v<T, float>) {
        return std::isnan(value);
    } else if constexpr (std::is_same_v<T, __half>) {
        return std::isnan(__half2float(value));
    } else {
        return std::isnan(__bfloat162float(value));
    }
}

bool is_nan(DType type, const unsigned char* at) {
    return type == DType::kF16    ? is_nan<__half>(at)
           : type == DType::kBF16 ? is_nan<__nv_bfloat16>(at)
           : type == DType::kF32  ? is_nan<float>(at)
                                  : false;
}

}  // namespace

Memory::~Memory() {
    for (void* p : memory_) {
        cudaFree(p);
    }
}

void* Memory::allocate(std::int64_t bytes) {
    if (content_ == Content::kCount || bytes == 0) {
        return nullptr;
    }
    void* p = nullptr;
    FER_CUDA(cudaMalloc(&p, static_cast<std::size_t>(bytes)));
    memory_.push_back(p);
    return p;
}

void* Memory::poisoned(std::int64_t bytes) {
    void* p = allocate(bytes);
    if (p != nullptr && poison_) {
        FER_CUDA(cudaMemset(p, 0xFF, static_cast<std::size_t>(bytes)));
    }
    return p;
}

/// The pattern from another place for every input, then copies of copies.
void* Memory::filled(std::int64_t count, std::size_t size, const std::vector<unsigned char>& pattern) {
    const auto bytes = static_cast<std::size_t>(count) * size;
    auto* p = static_cast<char*>(allocate(static_cast<std::int64_t>(bytes)));
    if (p == nullptr) {
        return p;
    }
    const std::size_t start = static_cast<std::size_t>(inputs_++ * 104729 % kPatternElements) * size;
    std::size_t done = std::min(bytes, pattern.size() - start);
    FER_CUDA(cudaMemcpy(p, pattern.data() + start, done, cudaMemcpyHostToDevice));
    const std::size_t rest = std::min(bytes - done, start);
    if (rest > 0) {
        FER_CUDA(cudaMemcpy(p + done, pattern.data(), rest, cudaMemcpyHostToDevice));
    }
    for (done += rest; done < bytes; done += std::min(done, bytes - done)) {
        FER_CUDA(cudaMemcpy(p + done, p, std::min(done, bytes - done), cudaMemcpyDeviceToDevice));
    }
    return p;
}

void* Memory::input(std::int64_t count, DType type) {
    counted_ += count * static_cast<std::int64_t>(size_of(type));
    return content_ == Content::kCount ? nullptr : filled(count, size_of(type), numbers(type, integers()));
}

float* Memory::positive(std::int64_t count) {
    counted_ += count * static_cast<std::int64_t>(sizeof(float));
    if (content_ == Content::kCount) {
        return nullptr;
    }
    const bool ints = integers();
    return static_cast<float*>(filled(count, sizeof(float), cached(ints ? "one or two" : "about one", [ints] {
                                          return pattern_of([ints](std::uint32_t word) {
                                              return ints ? 1 + static_cast<float>(word >> 31) : 0.5f + uniform01(word);
                                          });
                                      })));
}

std::uint8_t* Memory::places(std::int64_t count, int limit) {
    counted_ += count;
    if (content_ == Content::kCount) {
        return nullptr;
    }
    return static_cast<std::uint8_t*>(filled(count, 1, cached(fmt::format("places {}", limit), [limit] {
                                                 return pattern_of([limit](std::uint32_t word) {
                                                     return static_cast<std::uint8_t>((word >> 8) %
                                                                                      static_cast<unsigned>(limit));
                                                 });
                                             })));
}

std::int32_t* Memory::labels(std::int64_t count, int limit) {
    std::vector<std::int32_t> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::uint32_t word = RandomStream(1, 0, stream_of("labels")).word(i);
        values[i] = static_cast<std::int32_t>(word % static_cast<unsigned>(limit));
    }
    return of(values);
}

std::uint32_t* Memory::bits(std::int64_t words) {
    counted_ += words * static_cast<std::int64_t>(sizeof(std::uint32_t));
    if (content_ == Content::kCount) {
        return nullptr;
    }
    return static_cast<std::uint32_t*>(filled(words, sizeof(std::uint32_t), cached("bits", [] {
                                                  return pattern_of([](std::uint32_t word) { return word; });
                                              })));
}

void* Memory::copy_of(const void* values, std::size_t bytes) {
    counted_ += static_cast<std::int64_t>(bytes);
    void* p = allocate(static_cast<std::int64_t>(bytes));
    if (p != nullptr) {
        FER_CUDA(cudaMemcpy(p, values, bytes, cudaMemcpyHostToDevice));
    }
    return p;
}

void* Memory::updated_copy_of(const void* values, std::size_t bytes) {
    void* p = copy_of(values, bytes);
    counted_ += static_cast<std::int64_t>(bytes);
    results_.push_back({p, static_cast<std::int64_t>(bytes), DType::kU8});
    return p;
}

void* Memory::updated(std::int64_t count, DType type) {
    void* p = input(count, type);
    const std::int64_t bytes = count * static_cast<std::int64_t>(size_of(type));
    counted_ += bytes;
    results_.push_back({p, bytes, type});
    return p;
}

float* Memory::updated_positive(std::int64_t count) {
    float* p = positive(count);
    const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(float));
    counted_ += bytes;
    results_.push_back({p, bytes, DType::kF32});
    return p;
}

void* Memory::output(std::int64_t count, DType type) {
    const std::int64_t bytes = count * static_cast<std::int64_t>(size_of(type));
    counted_ += bytes;
    void* p = poisoned(bytes);
    results_.push_back({p, bytes, type});
    return p;
}

void* Memory::workspace(std::int64_t bytes) { return poisoned(bytes); }

void* Memory::table(std::int64_t count, DType type) {
    const std::int64_t before = counted_;
    void* p = input(count, type);
    counted_ = before;
    return p;
}

std::string Memory::unwritten() const {
    FER_CUDA(cudaDeviceSynchronize());
    constexpr std::int64_t kLooked = 1 << 20;  // bytes at the beginning and at the end of each result
    for (std::size_t r = 0; r < results_.size(); ++r) {
        const Result& result = results_[r];
        const std::int64_t looked = std::min(result.bytes, kLooked);
        for (const std::int64_t from : {std::int64_t{0}, result.bytes - looked}) {
            std::vector<unsigned char> bytes(static_cast<std::size_t>(looked));
            if (!bytes.empty()) {
                FER_CUDA(cudaMemcpy(bytes.data(), static_cast<char*>(result.at) + from, bytes.size(),
                                    cudaMemcpyDeviceToHost));
            }
            const std::size_t size = size_of(result.type);
            for (std::size_t i = 0; i + size <= bytes.size(); i += size) {
                if (is_nan(result.type, bytes.data() + i)) {
                    return fmt::format("element {} of result {} is NaN",
                                       static_cast<std::size_t>(from) / size + i / size, r);
                }
            }
        }
    }
    return {};
}

std::uint64_t Memory::hash() const {
    FER_CUDA(cudaDeviceSynchronize());
    std::uint64_t hash = 14695981039346656037u;  // FNV-1a
    for (const Result& result : results_) {
        std::vector<unsigned char> bytes(static_cast<std::size_t>(result.bytes));
        if (!bytes.empty()) {
            FER_CUDA(cudaMemcpy(bytes.data(), result.at, bytes.size(), cudaMemcpyDeviceToHost));
        }
        for (const unsigned char byte : bytes) {
            hash = (hash ^ byte) * 1099511628211u;
        }
    }
    return hash;
}

}  // namespace fer::FER_PORT

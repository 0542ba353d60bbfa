// Counter-based random numbers: the value at (seed, step, stream, element) is a pure function, the same on host and
// device, for any launch shape or thread count. Philox4x32-10 of Salmon et al., "Parallel Random Numbers: As Easy as
// 1, 2, 3" (SC 2011); the known-answer vectors of its reference distribution are tests/core/random_test.cpp.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>

#if defined(__CUDACC__)
#define FER_HOST_DEVICE __host__ __device__
#else
#define FER_HOST_DEVICE
#endif

namespace fer {

/// Four words below 2^32, each in a Lane. Lanes of 64 bits are what vector units multiply side by side.
template <class Lane>
struct PhiloxWords {
    Lane v[4];
};
using Philox4 = PhiloxWords<std::uint32_t>;

/// Ten rounds on a 128-bit counter with a 64-bit key.
template <class Lane = std::uint32_t>
FER_HOST_DEVICE inline PhiloxWords<Lane> philox(PhiloxWords<Lane> counter, std::uint64_t key) {
    auto k0 = static_cast<std::uint32_t>(key);
    auto k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter.v[0];
        const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * counter.v[2];
        counter = {{static_cast<Lane>(b >> 32) ^ counter.v[1] ^ k0, static_cast<std::uint32_t>(b),
                    static_cast<Lane>(a >> 32) ^ counter.v[3] ^ k1, static_cast<std::uint32_t>(a)}};
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return counter;
}

/// Four words for elements 4*block .. 4*block+3 of `stream` at `step`.
template <class Lane = std::uint32_t>
FER_HOST_DEVICE inline PhiloxWords<Lane> random_words(std::uint64_t seed, std::uint64_t step, std::uint32_t stream,
                                                      std::uint32_t block) {
    return philox<Lane>({{block, stream, static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32)}},
                        seed);
}

/// [0, 1) in steps of 2^-24: exact in float32.
FER_HOST_DEVICE inline float uniform01(std::uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

/// One stream of numbers: a seed, a step and a name, indexed by element.
class RandomStream {
public:
    FER_HOST_DEVICE RandomStream(std::uint64_t seed, std::uint64_t step, std::uint32_t stream)
        : seed_(seed), step_(step), stream_(stream) {}

    FER_HOST_DEVICE std::uint32_t word(std::uint64_t element) const {
        return random_words(seed_, step_, stream_, static_cast<std::uint32_t>(element / 4)).v[element % 4];
    }
    FER_HOST_DEVICE float uniform(std::uint64_t element) const { return uniform01(word(element)); }
    FER_HOST_DEVICE float uniform(std::uint64_t element, float low, float high) const {
        return low + (high - low) * uniform(element);
    }
    FER_HOST_DEVICE Philox4 words(std::uint32_t block) const { return random_words(seed_, step_, stream_, block); }

private:
    std::uint64_t seed_;
    std::uint64_t step_;
    std::uint32_t stream_;
};

/// The stream number of a name: FNV-1a, so that it does not depend on where a node stands in a graph.
constexpr std::uint32_t stream_of(std::string_view name) {
    std::uint32_t hash = 2166136261u;
    for (const char c : name) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    }
    return hash;
}

/// Standard normal (Box-Muller, double) from elements 2*element and 2*element+1 of the stream.
double normal(const RandomStream& random, std::uint64_t element);

/// Fisher-Yates on `order`, drawing from `random`; unbiased to 2^-32 * size.
void shuffle(std::span<std::int32_t> order, const RandomStream& random);

}  // namespace fer

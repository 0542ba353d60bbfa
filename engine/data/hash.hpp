// A small 64-bit hash for cache keys and checksums. It finds accidents, not attacks: it is not cryptographic.
// Four independent lanes of xor, rotate, multiply by an odd constant; every step is a bijection of its lane, so a
// change of any single word always changes the result before the final mix.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace fer {

/// A bijection of 64 bits in which every input bit moves about half of the output bits.
constexpr std::uint64_t mix64(std::uint64_t x) {
    x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93u;
    x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93u;
    return x ^ (x >> 32);
}

constexpr std::uint64_t combine(std::uint64_t hash, std::uint64_t value) {
    return mix64(std::rotl(hash, 23) ^ mix64(value + 0x9E3779B97F4A7C15u));
}

/// Little-endian machines only give the same value; caches are not meant to travel.
inline std::uint64_t hash_bytes(const void* bytes, std::size_t count, std::uint64_t seed = 0) {
    constexpr std::uint64_t kOdd = 0x9FB21C651E98DF25u;
    std::uint64_t lane[4] = {seed ^ 0x243F6A8885A308D3u, seed ^ 0x13198A2E03707344u, seed ^ 0xA4093822299F31D0u,
                             seed ^ 0x082EFA98EC4E6C89u};
    const auto* at = static_cast<const unsigned char*>(bytes);
    const auto take = [&](const unsigned char* block) {
        std::uint64_t word[4];
        std::memcpy(word, block, sizeof word);
        for (int i = 0; i < 4; ++i) {
            lane[i] = std::rotl(lane[i] ^ word[i], 29) * kOdd;
        }
    };
    std::size_t left = count;
    for (; left >= 32; left -= 32, at += 32) {
        take(at);
    }
    unsigned char tail[32] = {};
    if (left > 0) {
        std::memcpy(tail, at, left);
    }
    take(tail);
    std::uint64_t hash = combine(seed, count);
    for (const std::uint64_t l : lane) {
        hash = combine(hash, l);
    }
    return hash;
}

inline std::uint64_t hash_text(std::string_view text, std::uint64_t seed = 0) {
    return hash_bytes(text.data(), text.size(), seed);
}

}  // namespace fer

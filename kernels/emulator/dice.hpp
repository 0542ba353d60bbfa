// Cheap random numbers for schedules (SplitMix64): seeded per launch, so they must cost nothing to seed.
#pragma once

#include <cstdint>

namespace fer::emulated {

class Dice {
public:
    explicit Dice(std::uint64_t seed = 0) : state_(seed) {}

    std::uint64_t next() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    /// 0 .. n-1; slightly biased, which a schedule does not mind.
    std::uint64_t below(std::uint64_t n) { return next() % n; }

private:
    std::uint64_t state_;
};

}  // namespace fer::emulated

// How often a test over random cases repeats: a few times in the suite, as often as asked at night.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>

namespace fer::test {

/// FER_RANDOM_GRAPHS, or `usual`.
inline std::uint64_t random_graphs(std::uint64_t usual) {
    const char* asked = std::getenv("FER_RANDOM_GRAPHS");
    return asked == nullptr ? usual : std::stoull(asked);
}

}  // namespace fer::test

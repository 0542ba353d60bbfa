// Each case once, without measuring: are the arguments legal, is every result written, and do the devices agree?
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bench/kernels/case.hpp"

namespace fer::FER_PORT {

/// Of each family in each arithmetic the `most` cases that move and compute least.
std::vector<Case> smallest_cases(std::vector<Case> cases, int most);

struct CheckResult {
    int cases = 0, exact = 0, failures = 0;
    std::map<std::string, std::uint64_t> hashes;  // by case: of the results from small integers, where they are exact
};
/// Prints a line for every failure. `poison`: see Memory.
CheckResult check_cases(const std::vector<Case>& cases, bool poison);

/// "hash name" lines. The names that differ, or that only one of the two has.
void write_hashes(const std::string& path, const std::map<std::string, std::uint64_t>& hashes);
std::vector<std::string> compare_hashes(const std::string& path, const std::map<std::string, std::uint64_t>& hashes);

}  // namespace fer::FER_PORT

#pragma once

#include <vector>

#include "bench/kernels/case.hpp"

namespace fer::FER_PORT {

/// Measures the cases as benchmarks of Google Benchmark, whose options the arguments are.
int run_benchmarks(int argc, char** argv, const std::vector<Case>& cases, std::int64_t batch);

}  // namespace fer::FER_PORT

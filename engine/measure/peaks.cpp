#include "engine/measure/peaks.hpp"

#include <algorithm>

#include "engine/graph/op_table.hpp"
#include "engine/run/node_bench.hpp"

namespace fer {
namespace {

constexpr int kRuns = 5;

struct Sizes {
    std::int64_t copy_bytes = 0;
    std::int64_t product = 0;  // rows, columns and depth
};

Sizes sizes_for(std::string_view device) {
    if (device == "cuda") {
        return {std::int64_t{1} << 30, 8192};
    }
    if (device == "emulated") {
        return {std::int64_t{1} << 16, 32};
    }
    return {std::int64_t{1} << 26, 1536};
}

double copy_seconds(Runtime& runtime, std::int64_t bytes) {
    const Buffer from(runtime, bytes);
    const Buffer to(runtime, bytes);
    double best = 0;
    for (int i = 0; i < kRuns; ++i) {
        const double s = runtime.seconds([&] { runtime.copy(to.data(), from.data(), bytes); });
        best = i == 0 ? s : std::min(best, s);
    }
    return best;
}

OpDesc square_product(std::int64_t n, Precision precision) {
    const DType type = precision == Precision::kBf16   ? DType::kBF16
                       : precision == Precision::kFp16 ? DType::kF16
                                                       : DType::kF32;
    OpDesc op{OpKind::kDense, "peak", DenseAttrs{.tf32 = precision == Precision::kTf32}, {}, {}, {}};
    op.in = {{{n, n}, type}, {{n, n}, type}};
    op.out = spec_of(op.kind).infer(op);
    return op;
}

double product_seconds(const Device& device, Runtime& runtime, const OpDesc& op) {
    NodeBench bench(op, runtime);
    const auto candidates = accepting(device, op);
    double best = 0;
    for (const Implementation* how : candidates) {
        if (how->name == "reference" && candidates.size() > 1) {
            continue;
        }
        bench.set(*how);
        for (int i = 0; i < kRuns; ++i) {
            const double s = bench.seconds();
            best = best == 0 ? s : std::min(best, s);
        }
    }
    return best;
}

}  // namespace

Peaks measure_peaks(const Device& device, Runtime& runtime, Precision precision) {
    const Sizes sizes = sizes_for(device.name());
    const OpDesc product = square_product(sizes.product, precision);
    return {static_cast<double>(flops_of(product)) / product_seconds(device, runtime, product),
            2 * static_cast<double>(sizes.copy_bytes) / copy_seconds(runtime, sizes.copy_bytes)};
}

std::string_view name_of(Bound bound) { return bound == Bound::kMath ? "math" : "memory"; }

Limit limit_of(const OpDesc& op, const Peaks& peaks) {
    const double math = static_cast<double>(flops_of(op)) / peaks.flops_per_s;
    const double memory = static_cast<double>(traffic_of(op)) / peaks.bytes_per_s;
    return {std::max(math, memory), math > memory ? Bound::kMath : Bound::kMemory};
}

double limit_seconds(const Plan& plan, const Peaks& peaks) {
    double sum = 0;
    for (const PlanStep& step : plan.steps) {
        sum += step.implementation == nullptr ? 0 : limit_of(step.op, peaks).seconds;
    }
    return sum;
}

}  // namespace fer

#include "engine/run/tuner.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/core/half.hpp"
#include "engine/run/node_bench.hpp"

namespace fer {
namespace {

float element(const std::vector<char>& bytes, DType dtype, std::size_t i) {
    if (dtype == DType::kF32) {
        float v;
        std::memcpy(&v, &bytes[4 * i], sizeof v);
        return v;
    }
    std::uint16_t half;
    std::memcpy(&half, &bytes[2 * i], sizeof half);
    return dtype == DType::kF16 ? from_f16(half) : from_bf16(half);
}

/// Squared error relative to the squares of `want`; infinity if one of them is not finite.
double relative_error(const std::vector<char>& got, const std::vector<char>& want, const TensorInfo& info) {
    double error = 0;
    double scale = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(info.shape.count()); ++i) {
        const double g = element(got, info.dtype, i);
        const double w = element(want, info.dtype, i);
        error += (g - w) * (g - w);
        scale += w * w;
    }
    const double ratio = error == 0 ? 0 : error / scale;
    return std::isfinite(ratio) ? ratio : INFINITY;
}

/// Rounding each operand and the result to a mantissa of b bits is a relative error of at most about 2^-b each, so
/// 4 (2^-b)^2 squared, four times that for headroom. float32: sums of thousands of products in another order.
double tolerated(const OpDesc& op) {
    const bool tf32 = std::holds_alternative<ConvAttrs>(op.attrs)    ? op.as<ConvAttrs>().tf32
                      : std::holds_alternative<DenseAttrs>(op.attrs) ? op.as<DenseAttrs>().tf32
                                                                     : false;
    switch (op.in[0].dtype) {
        case DType::kBF16:
            return 16 * 0x1p-16;
        case DType::kF16:
            return 16 * 0x1p-20;
        default:
            return tf32 ? 16 * 0x1p-20 : 1e-9;
    }
}

}  // namespace

Tuner::Tuner(const Device& device, Runtime& runtime, const std::filesystem::path& file)
    : device_(device), runtime_(runtime) {
    if (!file.empty()) {
        try {
            file_ = std::make_unique<TuneFile>(file);
            *timings_ = file_->timings(runtime.tuning_key());
        } catch (const DataError& error) {
            findings_.push_back(fmt::format("{} ({}): measuring anew", error.what(), error.why()));
        }
    }
}

int Tuner::tune(const Graph& graph) {
    Timings fresh;
    for (const Node& node : graph.nodes()) {
        const OpDesc op = graph.describe(node);
        const std::string key = node_key(op);
        if (!key.empty() && !timings_->contains(key) && NodeBench::can_draw(op)) {
            fresh[key] = (*timings_)[key] = measure(op);
        }
    }
    if (file_ != nullptr && !fresh.empty()) {
        try {
            file_->add(runtime_.tuning_key(), fresh);
        } catch (const Error& error) {
            findings_.push_back(fmt::format("measured times are not kept: {}", error.what()));
        }
    }
    return static_cast<int>(fresh.size());
}

// No choice, or no memory to try: the order of the list decides.
std::vector<Timing> Tuner::measure(const OpDesc& op) {
    const auto candidates = accepting(device_, op);
    std::vector<Timing> timings;
    if (candidates.size() < 2) {
        return timings;
    }
    try {
        NodeBench bench(op, runtime_);
        std::vector<std::vector<char>> expected;
        for (const Implementation* how : candidates) {
            bench.set(*how);
            const auto results = bench.results();
            if (expected.empty()) {
                expected = results;
            }
            double error = 0;
            for (std::size_t i = 0; i < results.size(); ++i) {
                error = std::max(error, relative_error(results[i], expected[i], op.out[i]));
            }
            if (error <= tolerated(op)) {
                timings.push_back({std::string(how->name), bench.seconds() * 1e6});
            } else {
                findings_.push_back(fmt::format("{} is not used for {}: its result differs from that of {} by {:.1e}",
                                                how->name, node_key(op), candidates[0]->name, error));
            }
        }
    } catch (const MemoryError&) {
        return {};
    }
    std::ranges::stable_sort(timings, {}, &Timing::microseconds);
    return timings;
}

}  // namespace fer

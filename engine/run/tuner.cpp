#include "engine/run/tuner.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/core/half.hpp"
#include "engine/core/random.hpp"
#include "engine/run/buffer.hpp"

namespace fer {
namespace {

constexpr int kRuns = 10;       // of one measurement, back to back: launches overlap as they do in a step
constexpr int kGroups = 7;      // measurements, of which the median counts
constexpr double kLong = 2e-3;  // seconds; what takes longer in one run is not repeated

/// Uniform in [-1, 1).
std::vector<char> random_operand(const TensorInfo& info, std::uint32_t stream) {
    std::vector<char> bytes(static_cast<std::size_t>(info.bytes()));
    const auto count = static_cast<std::size_t>(info.shape.count());
    for (std::size_t i = 0; i < count; i += 4) {
        const Philox4 words = random_words(1, 0, stream, static_cast<std::uint32_t>(i / 4));
        for (std::size_t j = 0; j < 4 && i + j < count; ++j) {
            const float v = 2 * uniform01(words.v[j]) - 1;
            if (info.dtype == DType::kF32) {
                std::memcpy(&bytes[4 * (i + j)], &v, sizeof v);
            } else {
                const std::uint16_t half = info.dtype == DType::kF16 ? to_f16(v) : to_bf16(v);
                std::memcpy(&bytes[2 * (i + j)], &half, sizeof half);
            }
        }
    }
    return bytes;
}

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

bool is_float(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

/// The operands of one node in memory of their own.
class Bench {
public:
    Bench(const OpDesc& op, Runtime& runtime) : op_(op), runtime_(runtime), workspace_(runtime) {
        std::uint32_t stream = stream_of("tune");
        for (const TensorInfo& info : op.in) {
            const std::vector<char> bytes = random_operand(info, ++stream);
            in_.push_back(Buffer(runtime, info.bytes()));
            runtime.upload(in_.back().data(), bytes.data(), info.bytes());
        }
        for (const TensorInfo& info : op.out) {
            out_.push_back(Buffer(runtime, info.bytes()));
        }
        for (const TensorInfo& info : op.state) {
            state_.push_back(Buffer(runtime, info.bytes()));
        }
    }

    /// Its results; `seconds` of one run.
    std::vector<std::vector<char>> run(const Implementation& how, double& seconds) {
        const std::int64_t bytes = how.workspace == nullptr ? 0 : how.workspace(op_);
        workspace_ = Buffer(runtime_);
        workspace_ = Buffer(runtime_, bytes);
        const Kernel kernel = how.make(op_);
        const std::vector<void*> in = addresses(in_);
        const std::vector<void*> out = addresses(out_);
        const std::vector<void*> state = addresses(state_);
        const auto enqueue = [&] { kernel({in, out, state, workspace_.data(), runtime_.queue()}); };
        enqueue();  // kernels set themselves up
        std::vector<std::vector<char>> results;
        for (std::size_t i = 0; i < out_.size(); ++i) {
            results.emplace_back(static_cast<std::size_t>(op_.out[i].bytes()));
            runtime_.download(results.back().data(), out_[i].data(), op_.out[i].bytes());
        }
        seconds = runtime_.seconds(enqueue);
        seconds = seconds > kLong ? seconds : repeated(enqueue);
        return results;
    }

private:
    static std::vector<void*> addresses(const std::vector<Buffer>& buffers) {
        std::vector<void*> all;
        for (const Buffer& buffer : buffers) {
            all.push_back(buffer.data());
        }
        return all;
    }

    /// The median of a few groups of runs, recorded as a step is.
    double repeated(const std::function<void()>& enqueue) {
        const auto repeat = [&] {
            for (int i = 0; i < kRuns; ++i) {
                enqueue();
            }
        };
        const std::unique_ptr<Recording> recording = runtime_.record(repeat, true);
        std::vector<double> times;
        for (int i = 0; i < kGroups; ++i) {
            times.push_back(recording != nullptr ? runtime_.seconds([&] { recording->start(); })
                                                 : runtime_.seconds(repeat));
        }
        std::ranges::nth_element(times, times.begin() + kGroups / 2);
        return times[kGroups / 2] / kRuns;
    }

    const OpDesc& op_;
    Runtime& runtime_;
    std::vector<Buffer> in_, out_, state_;
    Buffer workspace_;
};

std::vector<const Implementation*> candidates(const Device& device, const OpDesc& op) {
    std::vector<const Implementation*> all;
    for (const Implementation& implementation : device.implementations(op.kind)) {
        if (implementation.refuses == nullptr || !implementation.refuses(op)) {
            all.push_back(&implementation);
        }
    }
    return all;
}

bool can_be_drawn(const OpDesc& op) {
    return std::ranges::all_of(op.in, [](const TensorInfo& t) { return is_float(t.dtype); }) &&
           std::ranges::all_of(op.out, [](const TensorInfo& t) { return is_float(t.dtype) && t.shape.count() > 0; });
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
        if (!key.empty() && !timings_->contains(key) && can_be_drawn(op)) {
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
    const auto accepting = candidates(device_, op);
    std::vector<Timing> timings;
    if (accepting.size() < 2) {
        return timings;
    }
    try {
        Bench bench(op, runtime_);
        std::vector<std::vector<char>> expected;
        for (const Implementation* how : accepting) {
            double seconds = 0;
            const auto results = bench.run(*how, seconds);
            if (expected.empty()) {
                expected = results;
            }
            double error = 0;
            for (std::size_t i = 0; i < results.size(); ++i) {
                error = std::max(error, relative_error(results[i], expected[i], op.out[i]));
            }
            if (error <= tolerated(op)) {
                timings.push_back({std::string(how->name), seconds * 1e6});
            } else {
                findings_.push_back(fmt::format("{} is not used for {}: its result differs from that of {} by {:.1e}",
                                                how->name, node_key(op), accepting[0]->name, error));
            }
        }
    } catch (const MemoryError&) {
        return {};
    }
    std::ranges::stable_sort(timings, {}, &Timing::microseconds);
    return timings;
}

}  // namespace fer

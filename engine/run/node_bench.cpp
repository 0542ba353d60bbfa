#include "engine/run/node_bench.hpp"

#include <algorithm>
#include <cstring>

#include "engine/core/half.hpp"
#include "engine/core/random.hpp"

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

bool is_float(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

std::vector<void*> addresses(const std::vector<Buffer>& buffers) {
    std::vector<void*> all;
    for (const Buffer& buffer : buffers) {
        all.push_back(buffer.data());
    }
    return all;
}

}  // namespace

bool NodeBench::can_draw(const OpDesc& op) {
    return std::ranges::all_of(op.in, [](const TensorInfo& t) { return is_float(t.dtype); }) &&
           std::ranges::all_of(op.out, [](const TensorInfo& t) { return is_float(t.dtype) && t.shape.count() > 0; });
}

NodeBench::NodeBench(OpDesc op, Runtime& runtime) : op_(std::move(op)), runtime_(runtime), workspace_(runtime) {
    std::uint32_t stream = stream_of("tune");
    for (const TensorInfo& info : op_.in) {
        const std::vector<char> bytes = random_operand(info, ++stream);
        in_.push_back(Buffer(runtime, info.bytes()));
        runtime.upload(in_.back().data(), bytes.data(), info.bytes());
    }
    for (const TensorInfo& info : op_.out) {
        out_.push_back(Buffer(runtime, info.bytes()));
    }
    for (const TensorInfo& info : op_.state) {
        state_.push_back(Buffer(runtime, info.bytes()));
    }
}

void NodeBench::set(const Implementation& how) {
    workspace_ = Buffer(runtime_);
    workspace_ = Buffer(runtime_, how.workspace == nullptr ? 0 : how.workspace(op_));
    enqueue_ = [this, kernel = how.make(op_), in = addresses(in_), out = addresses(out_), state = addresses(state_)] {
        kernel({in, out, state, workspace_.data(), runtime_.queue()});
    };
    enqueue_();  // kernels set themselves up
}

std::vector<std::vector<char>> NodeBench::results() const {
    std::vector<std::vector<char>> all;
    for (std::size_t i = 0; i < out_.size(); ++i) {
        all.emplace_back(static_cast<std::size_t>(op_.out[i].bytes()));
        runtime_.download(all.back().data(), out_[i].data(), op_.out[i].bytes());
    }
    return all;
}

double NodeBench::seconds() const {
    const double once = runtime_.seconds(enqueue_);
    return once > kLong ? once : repeated();
}

// Recorded as a step is.
double NodeBench::repeated() const {
    const auto repeat = [this] {
        for (int i = 0; i < kRuns; ++i) {
            enqueue_();
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

std::vector<const Implementation*> accepting(const Device& device, const OpDesc& op) {
    std::vector<const Implementation*> all;
    for (const Implementation& implementation : device.implementations(op.kind)) {
        if (implementation.refuses == nullptr || !implementation.refuses(op)) {
            all.push_back(&implementation);
        }
    }
    return all;
}

}  // namespace fer

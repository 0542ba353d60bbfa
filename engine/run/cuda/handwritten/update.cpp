// Optimizers and counters. Parameters, gradients and moments usually lie in blocks, every tensor at the same offset in
// each (engine/run/variables.hpp): then one launch takes them all. Otherwise more of them give the same bits.
#include <array>

#include "engine/run/cuda/handwritten/common.hpp"
#include "engine/run/cuda/handwritten/kernels.hpp"
#include "kernels/cast.hpp"
#include "kernels/counters.hpp"
#include "kernels/gradients.hpp"
#include "kernels/optimizer.hpp"

namespace fer::FER_PORT::handwritten {
namespace {

/// Lists of tensors that belong together: the k-th of every list.
struct Blocks {
    std::vector<std::span<void* const>> lists;
    std::vector<std::int64_t> counts;      // elements, alike in every list
    std::vector<std::int64_t> sizes = {};  // bytes of an element, per list; empty: float everywhere

    std::int64_t size_of(std::size_t list) const {
        return sizes.empty() ? static_cast<std::int64_t>(sizeof(float)) : sizes[list];
    }
    char* address(std::size_t list, std::size_t k) const { return static_cast<char*>(lists[list][k]); }
    /// From the k-th tensor to the next, in elements; -1 if that is no whole number.
    std::int64_t distance(std::size_t list, std::size_t k) const {
        const auto bytes = address(list, k + 1) - address(list, k);
        return bytes % size_of(list) == 0 ? bytes / size_of(list) : -1;
    }
};

constexpr std::int64_t kPadding = 64;  // elements, at most, between neighbours

/// Does every list place tensor k + 1 behind tensor k, all at the same distance?
bool adjacent(const Blocks& blocks, std::size_t k) {
    for (std::size_t l = 0; l < blocks.lists.size(); ++l) {
        const std::int64_t distance = blocks.distance(l, k);
        if (distance != blocks.distance(0, k) || distance < blocks.counts[k] ||
            distance > blocks.counts[k] + kPadding) {
            return false;
        }
    }
    return true;
}

/// body(addresses of one tensor per list, elements), once for every run of adjacent tensors.
template <class Body>
void over_blocks(const Blocks& blocks, Body body) {
    std::vector<void*> at(blocks.lists.size());
    for (std::size_t k = 0; k < blocks.counts.size(); ++k) {
        for (std::size_t l = 0; l < at.size(); ++l) {
            at[l] = blocks.lists[l][k];
        }
        const std::size_t first = k;
        while (k + 1 < blocks.counts.size() && adjacent(blocks, k)) {
            ++k;
        }
        body(at, (blocks.address(0, k) - blocks.address(0, first)) / blocks.size_of(0) + blocks.counts[k]);
    }
}

static_assert(sizeof(LossScale) == sizeof(LossScaleState), "the graph's loss scale and the kernels'");

/// What infer_optimizer() says: gradients, parameters, moments, and with `shadows` their 16-bit copies.
Blocks optimizer_blocks(const std::vector<std::int64_t>& counts, bool shadows, const Operands& t) {
    Blocks blocks{{t.in.last(counts.size())}, counts};
    for (std::size_t first = 0; first < t.state.size(); first += counts.size()) {
        blocks.lists.push_back(t.state.subspan(first, counts.size()));
    }
    blocks.sizes.assign(blocks.lists.size(), sizeof(float));
    blocks.sizes.back() = shadows ? 2 : sizeof(float);
    return blocks;
}

std::vector<std::int64_t> gradient_counts(const OpDesc& op) {
    std::vector<std::int64_t> counts;
    for (std::size_t i = first_gradient(op.in); i < op.in.size(); ++i) {
        counts.push_back(op.in[i].shape.count());
    }
    return counts;
}

/// update(block, moments, stream), with moments null where the optimizer keeps none.
template <class Update>
Kernel optimizer(const OpDesc& op, float rate_factor, Update update) {
    const bool shadows = has_shadows(op.state);
    return [=, counts = gradient_counts(op), scaled = has_loss_scale(op.in),
            dtype = op.state.back().dtype](const Operands& t) {
        over_blocks(optimizer_blocks(counts, shadows, t), [&](std::vector<void*> at, std::int64_t count) {
            FlatBlock block{.grads = static_cast<float*>(at[0]),
                            .params = static_cast<float*>(at[1]),
                            .count = count,
                            .rate = t.input<float>(0),
                            .rate_factor = rate_factor,
                            .clock = t.input<std::int64_t>(1),
                            .scale = scaled ? t.input<LossScale>(2) : nullptr};
            if (shadows) {
                block.shadow = at.back();
                block.shadow_dtype = dtype;
                at.pop_back();
            }
            const auto moment = [&](std::size_t i) { return i < at.size() ? static_cast<float*>(at[i]) : nullptr; };
            update(block, moment(2), moment(3), stream_of(t));
        });
    };
}

Kernel update_adam(const OpDesc& op) {
    const auto& a = op.as<AdamAttrs>();
    return optimizer(op, a.rate_factor, [a](const FlatBlock& block, float* m, float* v, cudaStream_t stream) {
        port::adam({block, m, v, a.beta1, a.beta2, a.epsilon}, stream);
    });
}

Kernel update_sgd(const OpDesc& op) {
    const auto& a = op.as<SgdAttrs>();
    return optimizer(op, a.rate_factor, [a](const FlatBlock& block, float* m, float*, cudaStream_t stream) {
        port::sgd({block, m, a.momentum, a.nesterov}, stream);
    });
}

Kernel update_rmsprop(const OpDesc& op) {
    const auto& a = op.as<RmsPropAttrs>();
    return optimizer(op, a.rate_factor, [a](const FlatBlock& block, float* v, float* m, cudaStream_t stream) {
        port::rmsprop({block, v, m, a.rho, a.momentum, a.epsilon}, stream);
    });
}

std::vector<std::int64_t> counts_of(std::span<const TensorInfo> tensors) {
    std::vector<std::int64_t> counts;
    for (const TensorInfo& info : tensors) {
        counts.push_back(info.shape.count());
    }
    return counts;
}

/// (value...[, clock]; average...)
Kernel average(const OpDesc& op) {
    return [counts = counts_of(op.state), decay = op.as<ScalarAttrs>().value,
            warms_up = ema_warms_up(op)](const Operands& t) {
        const auto* clock = warms_up ? t.input<std::int64_t>(counts.size()) : nullptr;
        over_blocks(
            {{t.in.first(counts.size()), t.state}, counts}, [&](const std::vector<void*>& at, std::int64_t count) {
                port::ema({static_cast<float*>(at[0]), static_cast<float*>(at[1]), count, decay, clock}, stream_of(t));
            });
    };
}

/// The rate of this update.
Kernel follow_schedule(const OpDesc& op) {
    return [schedule = op.as<Schedule>()](const Operands& t) {
        scheduled_rate({t.input<float>(0), t.input<std::int64_t>(1), t.output<float>(0), schedule}, stream_of(t));
    };
}

/// (; gradient..., sum..., images, clock)
Kernel add_up(const OpDesc& op) {
    const std::size_t tensors = op.state.size() / 2 - 1;
    const auto& attrs = op.as<AccumulateAttrs>();
    return [counts = counts_of(std::span(op.state).first(tensors)), batch = static_cast<float>(attrs.batch),
            take = attrs.take](const Operands& t) {
        const std::size_t n = counts.size();
        auto* images = t.updated<float>(2 * n);
        over_blocks(
            {{t.state.first(n), t.state.subspan(n, n)}, counts}, [&](const std::vector<void*>& at, std::int64_t count) {
                port::accumulate({static_cast<float*>(at[0]), static_cast<float*>(at[1]), count, images, batch, take},
                                 stream_of(t));
            });
        accumulated({images, t.updated<std::int64_t>(2 * n + 1), batch, take}, stream_of(t));
    };
}

/// Of every block at most as many sums as its tensors have on their own.
std::int64_t clip_workspace(const OpDesc& op) {
    std::size_t bytes = 0;
    for (const TensorInfo& info : op.state) {
        bytes += gradient_squares_workspace(info.shape.count() + kPadding);
    }
    return static_cast<std::int64_t>(bytes);
}

Kernel clip(const OpDesc& op) {
    return [counts = counts_of(op.state), attrs = op.as<ClipAttrs>(), scaled = !op.in.empty()](const Operands& t) {
        const auto* scale = scaled ? t.input<LossScale>(0) : nullptr;
        auto* const sums = static_cast<double*>(t.workspace);
        int parts = 0;
        const Blocks blocks{{t.state}, counts};
        if (attrs.norm > 0) {
            over_blocks(blocks, [&](const std::vector<void*>& at, std::int64_t count) {
                gradient_squares({static_cast<float*>(at[0]), count, sums + parts}, stream_of(t));
                parts += static_cast<int>(gradient_squares_workspace(count) / sizeof(double));
            });
        }
        over_blocks(blocks, [&](const std::vector<void*>& at, std::int64_t count) {
            port::clip_gradients({static_cast<float*>(at[0]), count, sums, parts, attrs.norm, attrs.value, scale},
                                 stream_of(t));
        });
    };
}

/// The scale is the first word of its state.
Kernel read_scale(const OpDesc&) {
    return [](const Operands& t) { port::cast({t.in[0], t.out[0], 1, DType::kF32, DType::kF32}, stream_of(t)); };
}

Kernel look_for_overflow(const OpDesc& op) {
    return [counts = counts_of(op.in)](const Operands& t) {
        over_blocks({{t.in}, counts}, [&](const std::vector<void*>& at, std::int64_t count) {
            grads_check({static_cast<float*>(at[0]), count, t.updated<LossScale>(0)}, stream_of(t));
        });
    };
}

Kernel adjust_scale(const OpDesc&) {
    return [](const Operands& t) { loss_scale_update({.state = t.updated<LossScale>(0)}, stream_of(t)); };
}

Kernel count_metrics(const OpDesc& op) {
    return [images = to_int(op.in[1].shape[0])](const Operands& t) {
        port::metrics({t.input<float>(0), t.input<std::uint8_t>(1), t.updated<double>(0), images}, stream_of(t));
    };
}

Kernel move_clock(const OpDesc& op) {
    return [batch = op.as<GatherAttrs>().batch](const Operands& t) {
        port::advance({t.updated<std::int64_t>(0), batch}, stream_of(t));
    };
}

constexpr std::array kAdam{Implementation{"handwritten", refusal, nullptr, update_adam}};
constexpr std::array kSgd{Implementation{"handwritten", refusal, nullptr, update_sgd}};
constexpr std::array kRmsProp{Implementation{"handwritten", refusal, nullptr, update_rmsprop}};
constexpr std::array kEma{Implementation{"handwritten", refusal, nullptr, average}};
constexpr std::array kSchedule{Implementation{"handwritten", refusal, nullptr, follow_schedule}};
constexpr std::array kAccumulate{Implementation{"handwritten", refusal, nullptr, add_up}};
constexpr std::array kClip{Implementation{"handwritten", refusal, clip_workspace, clip}};
constexpr std::array kReadScale{Implementation{"handwritten", refusal, nullptr, read_scale}};
constexpr std::array kCheck{Implementation{"handwritten", refusal, nullptr, look_for_overflow}};
constexpr std::array kAdjust{Implementation{"handwritten", refusal, nullptr, adjust_scale}};
constexpr std::array kMetrics{Implementation{"handwritten", refusal, nullptr, count_metrics}};
constexpr std::array kAdvance{Implementation{"handwritten", refusal, nullptr, move_clock}};

}  // namespace

List schedule() { return kSchedule; }
List accumulate() { return kAccumulate; }
List clip_gradients() { return kClip; }
List adam() { return kAdam; }
List sgd() { return kSgd; }
List rmsprop() { return kRmsProp; }
List ema() { return kEma; }
List loss_scale() { return kReadScale; }
List check_gradients() { return kCheck; }
List update_loss_scale() { return kAdjust; }
List metrics() { return kMetrics; }
List advance() { return kAdvance; }

}  // namespace fer::FER_PORT::handwritten

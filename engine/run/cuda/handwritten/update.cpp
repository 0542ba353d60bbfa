// Optimizers and counters. Parameters, gradients and moments usually lie in blocks, every tensor at the same offset in
// each (engine/run/variables.hpp): then one launch takes them all. Otherwise one launch a tensor gives the same bits.
#include <array>

#include "engine/run/cuda/handwritten/common.hpp"
#include "engine/run/cuda/handwritten/kernels.hpp"
#include "kernels/cast.hpp"
#include "kernels/counters.hpp"
#include "kernels/optimizer.hpp"

namespace fer::FER_PORT::handwritten {
namespace {

/// Lists of tensors that belong together: the k-th of every list.
struct Blocks {
    std::vector<std::span<void* const>> lists;
    std::vector<std::int64_t> counts;  // elements, alike in every list
};

/// Do all lists place their tensors at the same distances, without overlap, in ascending order?
bool contiguous(const Blocks& blocks) {
    constexpr std::int64_t kPadding = 256;
    for (const auto& list : blocks.lists) {
        for (std::size_t k = 0; k + 1 < list.size(); ++k) {
            const auto distance = static_cast<char*>(list[k + 1]) - static_cast<char*>(list[k]);
            const auto first = static_cast<char*>(blocks.lists[0][k + 1]) - static_cast<char*>(blocks.lists[0][k]);
            const std::int64_t bytes = blocks.counts[k] * static_cast<std::int64_t>(sizeof(float));
            if (distance != first || distance < bytes || distance > bytes + kPadding) {
                return false;
            }
        }
    }
    return true;
}

/// body(addresses of one tensor per list, elements), once for all or once a tensor.
template <class Body>
void over_blocks(const Blocks& blocks, Body body) {
    std::vector<float*> at(blocks.lists.size());
    const auto address = [&](std::size_t list, std::size_t k) { return static_cast<float*>(blocks.lists[list][k]); };
    if (contiguous(blocks)) {
        for (std::size_t l = 0; l < at.size(); ++l) {
            at[l] = address(l, 0);
        }
        const std::size_t last = blocks.counts.size() - 1;
        return body(at, address(0, last) - address(0, 0) + blocks.counts[last]);
    }
    for (std::size_t k = 0; k < blocks.counts.size(); ++k) {
        for (std::size_t l = 0; l < at.size(); ++l) {
            at[l] = address(l, k);
        }
        body(at, blocks.counts[k]);
    }
}

static_assert(sizeof(LossScale) == sizeof(LossScaleState), "the graph's loss scale and the kernels'");

/// (learning_rate, clock[, loss_scale], gradient...; parameter..., moment per parameter...): gradients, parameters,
/// moments.
Blocks optimizer_blocks(const std::vector<std::int64_t>& counts, const Operands& t) {
    Blocks blocks{{t.in.last(counts.size())}, counts};
    for (std::size_t first = 0; first < t.state.size(); first += counts.size()) {
        blocks.lists.push_back(t.state.subspan(first, counts.size()));
    }
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
Kernel optimizer(const OpDesc& op, Update update) {
    return [counts = gradient_counts(op), scaled = has_loss_scale(op.in), update](const Operands& t) {
        over_blocks(optimizer_blocks(counts, t), [&](const std::vector<float*>& at, std::int64_t count) {
            const FlatBlock block{.grads = at[0],
                                  .params = at[1],
                                  .count = count,
                                  .rate = t.input<float>(0),
                                  .clock = t.input<std::int64_t>(1),
                                  .scale = scaled ? t.input<LossScale>(2) : nullptr};
            update(block, at.size() > 2 ? at[2] : nullptr, at.size() > 3 ? at[3] : nullptr, stream_of(t));
        });
    };
}

Kernel update_adam(const OpDesc& op) {
    return optimizer(op, [a = op.as<AdamAttrs>()](const FlatBlock& block, float* m, float* v, cudaStream_t stream) {
        port::adam({block, m, v, a.beta1, a.beta2, a.epsilon}, stream);
    });
}

Kernel update_sgd(const OpDesc& op) {
    return optimizer(op, [a = op.as<SgdAttrs>()](const FlatBlock& block, float* m, float*, cudaStream_t stream) {
        port::sgd({block, m, a.momentum, a.nesterov}, stream);
    });
}

Kernel update_rmsprop(const OpDesc& op) {
    return optimizer(op, [a = op.as<RmsPropAttrs>()](const FlatBlock& block, float* v, float* m, cudaStream_t stream) {
        port::rmsprop({block, v, m, a.rho, a.momentum, a.epsilon}, stream);
    });
}

/// (value...; average...)
Kernel average(const OpDesc& op) {
    std::vector<std::int64_t> counts;
    for (const TensorInfo& info : op.in) {
        counts.push_back(info.shape.count());
    }
    return [counts, decay = op.as<ScalarAttrs>().value](const Operands& t) {
        over_blocks({{t.in, t.state}, counts}, [&](const std::vector<float*>& at, std::int64_t count) {
            port::ema({at[0], at[1], count, decay}, stream_of(t));
        });
    };
}

/// The scale is the first word of its state.
Kernel read_scale(const OpDesc&) {
    return [](const Operands& t) { port::cast({t.in[0], t.out[0], 1, DType::kF32, DType::kF32}, stream_of(t)); };
}

Kernel look_for_overflow(const OpDesc& op) {
    std::vector<std::int64_t> counts;
    for (const TensorInfo& info : op.in) {
        counts.push_back(info.shape.count());
    }
    return [counts](const Operands& t) {
        over_blocks({{t.in}, counts}, [&](const std::vector<float*>& at, std::int64_t count) {
            grads_check({at[0], count, t.updated<LossScale>(0)}, stream_of(t));
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
constexpr std::array kReadScale{Implementation{"handwritten", refusal, nullptr, read_scale}};
constexpr std::array kCheck{Implementation{"handwritten", refusal, nullptr, look_for_overflow}};
constexpr std::array kAdjust{Implementation{"handwritten", refusal, nullptr, adjust_scale}};
constexpr std::array kMetrics{Implementation{"handwritten", refusal, nullptr, count_metrics}};
constexpr std::array kAdvance{Implementation{"handwritten", refusal, nullptr, move_clock}};

}  // namespace

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

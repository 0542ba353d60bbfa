#include <algorithm>
#include <array>

#include "engine/run/cuda/handwritten/common.hpp"
#include "engine/run/cuda/handwritten/kernels.hpp"
#include "kernels/l2.hpp"
#include "kernels/softmax_xent.hpp"

namespace fer::FER_PORT::handwritten {
namespace {

SoftmaxXent xent_args(const OpDesc& op) {
    return {.x = nullptr,
            .labels = nullptr,
            .loss = nullptr,
            .dtype = op.in[0].dtype,
            .n = to_int(op.in[0].shape[0]),
            .classes = to_int(op.in[0].shape[1]),
            .smoothing = op.as<XentAttrs>().label_smoothing};
}

Kernel cross_entropy(const OpDesc& op) {
    return [a = xent_args(op), gradient = takes_gradient(op.in), mixed = is_mixed(op.in),
            last = op.in.size() - 1](const Operands& t) mutable {
        a.x = t.in[0];
        a.labels = t.input<std::int32_t>(1);
        a.weights = t.input<float>(2);
        a.partners = mixed ? t.input<std::int32_t>(3) : nullptr;
        a.share = mixed ? t.input<float>(4) : nullptr;
        a.loss = t.output<float>(0);
        a.p = t.output<float>(1);
        a.hits = t.output<std::uint8_t>(2);
        a.dloss = gradient ? t.input<float>(last) : nullptr;
        a.dx = gradient ? t.out[3] : nullptr;
        a.workspace = t.workspace;
        port::softmax_xent(a, stream_of(t));
    };
}

std::int64_t cross_entropy_workspace(const OpDesc& op) {
    return static_cast<std::int64_t>(softmax_xent_workspace(to_int(op.in[0].shape[0])));
}

Kernel cross_entropy_gradient(const OpDesc& op) {
    SoftmaxXentGrad a{.p = nullptr,
                      .labels = nullptr,
                      .dx = nullptr,
                      .dtype = op.out[0].dtype,
                      .n = to_int(op.in[0].shape[0]),
                      .classes = to_int(op.in[0].shape[1]),
                      .smoothing = op.as<XentAttrs>().label_smoothing};
    return [a, mixed = is_mixed(op.in)](const Operands& t) mutable {
        a.p = t.input<float>(0);
        a.labels = t.input<std::int32_t>(1);
        a.weights = t.input<float>(2);
        a.dloss = t.input<float>(3);
        a.partners = mixed ? t.input<std::int32_t>(4) : nullptr;
        a.share = mixed ? t.input<float>(5) : nullptr;
        a.dx = t.out[0];
        softmax_xent_bwd(a, stream_of(t));
    };
}

Refusal not_float32_output(const OpDesc& op) {
    return op.out[0].dtype != DType::kF32 ? Refusal("probabilities are float32") : refusal(op);
}

Kernel probabilities(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    return [n = to_int(x[0]), classes = to_int(x[1]), dtype = op.in[0].dtype](const Operands& t) {
        softmax_fwd({t.in[0], t.output<float>(0), dtype, n, classes}, stream_of(t));
    };
}

Kernel probabilities_gradient(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    return [n = to_int(x[0]), classes = to_int(x[1]), dtype = op.out[0].dtype](const Operands& t) {
        softmax_bwd({t.input<float>(0), t.input<float>(1), t.out[0], dtype, n, classes}, stream_of(t));
    };
}

/// Tensor by tensor, the later ones added to what stands there.
Kernel penalty(const OpDesc& op) {
    std::vector<std::int64_t> counts;
    for (const TensorInfo& info : op.in) {
        counts.push_back(info.shape.count());
    }
    return [counts, lambda = op.as<ScalarAttrs>().value](const Operands& t) {
        for (std::size_t i = 0; i < counts.size(); ++i) {
            L2Penalty a{.w = t.input<float>(i),
                        .count = counts[i],
                        .lambda = lambda,
                        .penalty = t.output<float>(0),
                        .accumulate = i > 0,
                        .workspace = t.workspace};
            port::l2_penalty(a, stream_of(t));
        }
    };
}

std::int64_t penalty_workspace(const OpDesc& op) {
    std::size_t most = 0;
    for (const TensorInfo& info : op.in) {
        most = std::max(most, l2_penalty_workspace(info.shape.count()));
    }
    return static_cast<std::int64_t>(most);
}

Kernel penalty_gradient(const OpDesc& op) {
    return [count = op.in[0].shape.count(), lambda = op.as<ScalarAttrs>().value,
            adds = !op.state.empty()](const Operands& t) {
        float* dw = adds ? t.updated<float>(0) : t.output<float>(0);
        l2_bwd({t.input<float>(0), t.input<float>(1), dw, count, lambda, adds}, stream_of(t));
    };
}

constexpr std::array kXent{Implementation{"handwritten", refusal, cross_entropy_workspace, cross_entropy}};
constexpr std::array kXentGrad{Implementation{"handwritten", refusal, nullptr, cross_entropy_gradient}};
constexpr std::array kSoftmax{Implementation{"handwritten", not_float32_output, nullptr, probabilities}};
constexpr std::array kSoftmaxGrad{Implementation{"handwritten", not_float32_output, nullptr, probabilities_gradient}};
constexpr std::array kPenalty{Implementation{"handwritten", refusal, penalty_workspace, penalty}};
constexpr std::array kPenaltyGrad{Implementation{"handwritten", refusal, nullptr, penalty_gradient}};

}  // namespace

List softmax_xent() { return kXent; }
List softmax_xent_grad() { return kXentGrad; }
List softmax() { return kSoftmax; }
List softmax_grad() { return kSoftmaxGrad; }
List l2_penalty() { return kPenalty; }
List l2_grad() { return kPenaltyGrad; }

}  // namespace fer::FER_PORT::handwritten

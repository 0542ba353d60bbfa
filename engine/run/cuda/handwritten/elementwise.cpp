#include <array>

#include "engine/run/cuda/handwritten/common.hpp"
#include "engine/run/cuda/handwritten/kernels.hpp"
#include "kernels/add.hpp"
#include "kernels/cast.hpp"
#include "kernels/dropout.hpp"
#include "kernels/fill.hpp"
#include "kernels/relu.hpp"

namespace fer::FER_PORT::handwritten {
namespace {

std::int64_t count_of(const OpDesc& op) { return op.in[0].shape.count(); }

Kernel activate(const OpDesc& op, Activation activation) {
    return [activation, count = count_of(op), dtype = op.in[0].dtype](const Operands& t) {
        relu_fwd({t.in[0], t.out[0], nullptr, count, activation, dtype}, stream_of(t));
    };
}

Kernel activation_gradient(const OpDesc& op, Activation activation) {
    return [activation, count = count_of(op), dtype = op.in[0].dtype](const Operands& t) {
        relu_bwd({t.in[0], t.in[1], nullptr, t.out[0], count, activation, dtype}, stream_of(t));
    };
}

/// Two terms a launch.
Kernel sum(const OpDesc& op) {
    return [terms = op.in.size(), count = count_of(op), dtype = op.in[0].dtype](const Operands& t) {
        const void* so_far = t.in[0];
        for (std::size_t i = 1; i < terms; ++i) {
            add_fwd({so_far, t.in[i], t.out[0], nullptr, count, Activation::kNone, dtype}, stream_of(t));
            so_far = t.out[0];
        }
    };
}

Kernel drop(const OpDesc& op) {
    const auto& attrs = op.as<DropoutAttrs>();
    return [attrs, count = count_of(op), dtype = op.in[0].dtype](const Operands& t) {
        port::dropout({t.in[0], t.out[0], t.input<std::int64_t>(1), count, attrs.rate, attrs.stream, dtype},
                      stream_of(t));
    };
}

Kernel convert(const OpDesc& op) {
    return [count = count_of(op), from = op.in[0].dtype, to = op.out[0].dtype](const Operands& t) {
        port::cast({t.in[0], t.out[0], count, from, to}, stream_of(t));
    };
}

Kernel fill_with(const OpDesc& op) {
    return [count = op.out[0].shape.count(), value = op.as<ScalarAttrs>().value](const Operands& t) {
        fill({t.output<float>(0), count, value}, stream_of(t));
    };
}

Refusal not_castable(const OpDesc& op) {
    for (const DType dtype : {op.in[0].dtype, op.out[0].dtype}) {
        if (dtype == DType::kI32 || dtype == DType::kI64) {
            return fmt::format("no conversion of {}", name_of(dtype));
        }
    }
    return refusal(op);
}

constexpr std::array kRelu{
    Implementation{"handwritten", refusal, nullptr, [](const OpDesc& op) { return activate(op, Activation::kRelu); }}};
constexpr std::array kRelu6{
    Implementation{"handwritten", refusal, nullptr, [](const OpDesc& op) { return activate(op, Activation::kRelu6); }}};
constexpr std::array kReluGrad{Implementation{
    "handwritten", refusal, nullptr, [](const OpDesc& op) { return activation_gradient(op, Activation::kRelu); }}};
constexpr std::array kRelu6Grad{Implementation{
    "handwritten", refusal, nullptr, [](const OpDesc& op) { return activation_gradient(op, Activation::kRelu6); }}};
constexpr std::array kAdd{Implementation{"handwritten", refusal, nullptr, sum}};
constexpr std::array kDropout{Implementation{"handwritten", refusal, nullptr, drop}};
constexpr std::array kCast{Implementation{"handwritten", not_castable, nullptr, convert}};
constexpr std::array kConstant{Implementation{"handwritten", refusal, nullptr, fill_with}};

}  // namespace

List relu() { return kRelu; }
List relu6() { return kRelu6; }
List relu_grad() { return kReluGrad; }
List relu6_grad() { return kRelu6Grad; }
List add() { return kAdd; }
List dropout() { return kDropout; }
List cast() { return kCast; }
List constant() { return kConstant; }

}  // namespace fer::FER_PORT::handwritten

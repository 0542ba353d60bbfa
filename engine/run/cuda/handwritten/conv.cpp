// Convolutions. In order: the kernels for few input channels, implicit GEMM on the matrix units, the plain kernels.
#include <algorithm>
#include <array>

#include "engine/graph/image_conv.hpp"
#include "engine/run/cuda/handwritten/common.hpp"
#include "engine/run/cuda/handwritten/image.hpp"
#include "engine/run/cuda/handwritten/kernels.hpp"
#include "kernels/batch_norm.hpp"
#include "kernels/conv2d.hpp"
#include "kernels/conv2d_direct.hpp"
#include "kernels/depthwise.hpp"
#include "kernels/first_conv.hpp"

namespace fer::FER_PORT::handwritten {
namespace {

/// Sizes of a convolution of x with w to y, whichever of the three is computed. FirstConvShape and Conv2dShape have the
/// same fields.
template <class S>
S conv_shape(const Shape& x, const Shape& w, const Shape& y, const ConvAttrs& attrs) {
    S s{};
    s.n = to_int(x[0]), s.h = to_int(x[1]), s.w = to_int(x[2]), s.c = to_int(x[3]);
    s.kh = to_int(w[0]), s.kw = to_int(w[1]);
    s.stride = attrs.stride;
    s.top = to_int(window_of(x[1], w[0], attrs.stride, attrs.padding).before);
    s.left = to_int(window_of(x[2], w[1], attrs.stride, attrs.padding).before);
    s.p = to_int(y[1]), s.q = to_int(y[2]);
    if constexpr (requires { s.k; }) {
        s.k = to_int(y[3]);
    }
    return s;
}

template <class S>
S forward_shape(const OpDesc& op) {
    return conv_shape<S>(op.in[0].shape, op.in[1].shape, op.out[0].shape, op.as<ConvAttrs>());
}
template <class S>
S dgrad_shape(const OpDesc& op) {
    return conv_shape<S>(op.out[0].shape, op.in[1].shape, op.in[0].shape, op.as<ConvAttrs>());
}
template <class S>
S wgrad_shape(const OpDesc& op) {
    return conv_shape<S>(op.in[0].shape, op.out[0].shape, op.in[1].shape, op.as<ConvAttrs>());
}

Refusal not_float32(const OpDesc& op) {
    if (op.in[0].dtype != DType::kF32 || op.in[1].dtype != DType::kF32) {
        return "the plain kernels are float32";
    }
    if (op.as<ConvAttrs>().tf32) {
        return "the plain kernels do not round to tf32";
    }
    return refusal(op);
}

/// More channels go to the matrix units.
Refusal not_first(const OpDesc& op, const Shape& x, const Shape& w) {
    if (x[3] > 4) {
        return fmt::format("{} input channels, the kernel takes up to 4", x[3]);
    }
    if (w[0] > 7 || w[1] > 7 || op.as<ConvAttrs>().stride > 4) {
        return "takes kernels up to 7x7 and strides up to 4";
    }
    if (op.as<ConvAttrs>().tf32) {
        return "does not round to tf32";
    }
    return refusal(op);
}

// Forward ----------------------------------------------------------------------------------------------------------

/// Mean and variance of y, outputs 1 and 2, and the moving statistics, from y itself.
Kernel statistics_pass(const OpDesc& op) {
    const Shape& y = op.out[0].shape;
    BatchNormStats a{.x = nullptr,
                     .dtype = op.out[0].dtype,
                     .rows = rows_of(y),
                     .c = channels_of(y),
                     .mean = nullptr,
                     .variance = nullptr,
                     .momentum = op.as<ConvAttrs>().momentum,
                     .unbiased = true,
                     .workspace = nullptr};
    return [a](const Operands& t) mutable {
        a.x = t.out[0];
        a.mean = t.output<float>(1);
        a.variance = t.output<float>(2);
        a.moving_mean = t.updated<float>(0);
        a.moving_variance = t.updated<float>(1);
        a.workspace = t.workspace;
        batch_norm_stats(a, stream_of(t));
    };
}

}  // namespace

std::int64_t statistics_workspace(const OpDesc& op) {
    const Shape& y = op.out[0].shape;
    return op.as<ConvAttrs>().statistics ? static_cast<std::int64_t>(batch_norm_workspace(rows_of(y), channels_of(y)))
                                         : 0;
}

Kernel with_statistics(const OpDesc& op, Kernel convolution) {
    if (!op.as<ConvAttrs>().statistics) {
        return convolution;
    }
    return [convolution = std::move(convolution), statistics = statistics_pass(op)](const Operands& t) {
        convolution(t);
        statistics(t);
    };
}

namespace {

Conv2d conv2d_args(const OpDesc& op) {
    const auto& attrs = op.as<ConvAttrs>();
    return {.shape = forward_shape<Conv2dShape>(op),
            .x = nullptr,
            .w = nullptr,
            .y = nullptr,
            .activation = activation_of(attrs.activation),
            .dtype = op.in[0].dtype,
            .y_dtype = op.out[0].dtype,
            .tf32 = attrs.tf32};
}

Conv2d with_moments(Conv2d a) {
    a.moments = wanted(true);
    return a;
}

/// The epilogue's statistics need sums that are not split. Where there are too few tiles for that to fill the card, the
/// pass over so small a result is the lesser evil.
bool takes_moments(const OpDesc& op) {
    return op.as<ConvAttrs>().statistics && conv2d_fwd_plan(conv2d_args(op)).splits == 1;
}

/// What the tiles' moments become.
BatchNormFinalize finalize_args(const OpDesc& op) {
    const Shape& y = op.out[0].shape;
    return {.partials = nullptr,
            .rows = rows_of(y),
            .rows_per_part = conv2d_fwd_plan(with_moments(conv2d_args(op))).rows,
            .c = channels_of(y),
            .mean = nullptr,
            .variance = nullptr,
            .momentum = op.as<ConvAttrs>().momentum,
            .unbiased = true};
}

std::int64_t gemm_workspace(const OpDesc& op) {
    const Conv2d a = conv2d_args(op);
    if (!takes_moments(op)) {
        return std::max(conv2d_fwd_workspace(a), statistics_workspace(op));
    }
    const std::int64_t tiles = conv2d_fwd_plan(with_moments(a)).tiles_m;
    return tiles * 2 * channels_of(op.out[0].shape) * static_cast<std::int64_t>(sizeof(float));
}

/// Binds what a node has to the arguments of a kernel.
void bind(Conv2d& a, const OpDesc& op, const Operands& t) {
    a.x = t.in[0];
    a.w = t.in[1];
    a.bias = op.in.size() >= 3 ? t.input<float>(2) : nullptr;
    a.residual = op.in.size() == 4 ? t.in[3] : nullptr;
    a.y = t.out[0];
    a.workspace = t.workspace;
}

Kernel conv2d_gemm_with_moments(const OpDesc& op) {
    return [op, a = with_moments(conv2d_args(op)), finalize = finalize_args(op)](const Operands& t) mutable {
        bind(a, op, t);
        a.workspace = nullptr;
        a.moments = static_cast<float*>(t.workspace);
        conv2d_fwd(a, stream_of(t));
        finalize.partials = a.moments;
        finalize.mean = t.output<float>(1);
        finalize.variance = t.output<float>(2);
        finalize.moving_mean = t.updated<float>(0);
        finalize.moving_variance = t.updated<float>(1);
        batch_norm_finalize(finalize, stream_of(t));
    };
}

Kernel conv2d_gemm(const OpDesc& op) {
    if (takes_moments(op)) {
        return conv2d_gemm_with_moments(op);
    }
    return with_statistics(op, [op, a = conv2d_args(op)](const Operands& t) mutable {
        bind(a, op, t);
        conv2d_fwd(a, stream_of(t));
    });
}

Kernel conv2d_first(const OpDesc& op) {
    const bool bias = op.in.size() == 3;
    FirstConv a{.shape = forward_shape<FirstConvShape>(op),
                .w = nullptr,
                .y = nullptr,
                .activation = activation_of(op.as<ConvAttrs>().activation),
                .dtype = op.in[0].dtype};
    return with_statistics(op, [a, bias](const Operands& t) mutable {
        a.x = t.in[0];
        a.w = t.in[1];
        a.bias = bias ? t.input<float>(2) : nullptr;
        a.y = t.out[0];
        first_conv_fwd(a, stream_of(t));
    });
}

/// The same with its images made on the way.
Kernel image_conv_first(const OpDesc& op) {
    const OpDesc conv = conv2d_of(op);
    const bool bias = conv.in.size() == 3;
    FirstConv a{.shape = forward_shape<FirstConvShape>(conv),
                .batch = image_batch_args(image_batch_of(op)),
                .w = nullptr,
                .y = nullptr,
                .activation = activation_of(conv.as<ConvAttrs>().activation),
                .dtype = conv.in[0].dtype};
    const Kernel statistics = conv.as<ConvAttrs>().statistics ? statistics_pass(conv) : Kernel{};
    return [a, bias, statistics](const Operands& t) mutable {
        bind_images(a.batch, t);
        a.w = t.in[4];
        a.bias = bias ? t.input<float>(5) : nullptr;
        a.y = t.out[2];
        first_conv_fwd(a, stream_of(t));
        if (statistics) {
            Operands convolution = t;
            convolution.out = t.out.subspan(2);
            statistics(convolution);
        }
    };
}

Kernel conv2d_plain(const OpDesc& op) {
    Conv2dDirect a{.shape = forward_shape<Conv2dShape>(op),
                   .x = nullptr,
                   .w = nullptr,
                   .y = nullptr,
                   .activation = activation_of(op.as<ConvAttrs>().activation)};
    return with_statistics(op, [a, inputs = op.in.size()](const Operands& t) mutable {
        a.x = t.input<float>(0);
        a.w = t.input<float>(1);
        a.bias = inputs >= 3 ? t.input<float>(2) : nullptr;
        a.residual = inputs == 4 ? t.input<float>(3) : nullptr;
        a.y = t.output<float>(0);
        conv2d_direct_fwd(a, stream_of(t));
    });
}

Refusal conv2d_not_first(const OpDesc& op) {
    return op.in.size() == 4 ? "adds no residual" : not_first(op, op.in[0].shape, op.in[1].shape);
}

// Data gradient ----------------------------------------------------------------------------------------------------

Conv2dDgrad dgrad_args(const OpDesc& op) {
    return {.shape = dgrad_shape<Conv2dShape>(op),
            .dy = nullptr,
            .w = nullptr,
            .dx = nullptr,
            .dtype = op.in[0].dtype,
            .dx_dtype = op.out[0].dtype,
            .tf32 = op.as<ConvAttrs>().tf32};
}

Kernel dgrad_gemm(const OpDesc& op) {
    return [a = dgrad_args(op)](const Operands& t) mutable {
        a.dy = t.in[0];
        a.w = t.in[1];
        a.dx = t.out[0];
        a.workspace = t.workspace;
        port::conv2d_dgrad(a, stream_of(t));
    };
}

Kernel dgrad_plain(const OpDesc& op) {
    const Conv2dShape shape = dgrad_shape<Conv2dShape>(op);
    return [shape](const Operands& t) {
        conv2d_direct_dgrad({shape, t.input<float>(0), t.input<float>(1), t.output<float>(0)}, stream_of(t));
    };
}

// Weight gradient --------------------------------------------------------------------------------------------------

Conv2dWgrad wgrad_args(const OpDesc& op) {
    return {.shape = wgrad_shape<Conv2dShape>(op),
            .x = nullptr,
            .dy = nullptr,
            .dw = nullptr,
            .dbias = wanted(op.out.size() == 2),
            .dtype = op.in[0].dtype,
            .dw_dtype = op.out[0].dtype,
            .tf32 = op.as<ConvAttrs>().tf32};
}

Kernel wgrad_gemm(const OpDesc& op) {
    const bool bias = op.out.size() == 2;
    return [a = wgrad_args(op), bias](const Operands& t) mutable {
        a.x = t.in[0];
        a.dy = t.in[1];
        a.dw = t.out[0];
        a.dbias = bias ? t.output<float>(1) : nullptr;
        a.workspace = t.workspace;
        port::conv2d_wgrad(a, stream_of(t));
    };
}

FirstConvWgrad first_wgrad_args(const OpDesc& op) {
    return {.shape = wgrad_shape<FirstConvShape>(op),
            .x = nullptr,
            .dy = nullptr,
            .dw = nullptr,
            .dbias = wanted(op.out.size() == 2),
            .dtype = op.in[0].dtype,
            .dw_dtype = op.out[0].dtype};
}

Kernel wgrad_first(const OpDesc& op) {
    const bool bias = op.out.size() == 2;
    return [a = first_wgrad_args(op), bias](const Operands& t) mutable {
        a.x = t.in[0];
        a.dy = t.in[1];
        a.dw = t.out[0];
        a.dbias = bias ? t.output<float>(1) : nullptr;
        a.workspace = t.workspace;
        first_conv_wgrad(a, stream_of(t));
    };
}

Kernel wgrad_plain(const OpDesc& op) {
    const Conv2dShape shape = wgrad_shape<Conv2dShape>(op);
    const bool bias = op.out.size() == 2;
    return [shape, bias](const Operands& t) {
        conv2d_direct_wgrad(
            {shape, t.input<float>(0), t.input<float>(1), t.output<float>(0), bias ? t.output<float>(1) : nullptr},
            stream_of(t));
    };
}

Refusal wgrad_not_first(const OpDesc& op) { return not_first(op, op.in[0].shape, op.out[0].shape); }

// Depthwise --------------------------------------------------------------------------------------------------------

Kernel depthwise_forward(const OpDesc& op) {
    Depthwise a{.shape = forward_shape<DepthwiseShape>(op),
                .x = nullptr,
                .w = nullptr,
                .y = nullptr,
                .activation = activation_of(op.as<ConvAttrs>().activation),
                .dtype = op.in[0].dtype};
    return [a, bias = op.in.size() == 3](const Operands& t) mutable {
        a.x = t.in[0];
        a.w = t.in[1];
        a.bias = bias ? t.input<float>(2) : nullptr;
        a.y = t.out[0];
        depthwise_fwd(a, stream_of(t));
    };
}

Kernel depthwise_data(const OpDesc& op) {
    const auto shape = dgrad_shape<DepthwiseShape>(op);
    return [shape, dtype = op.in[0].dtype](const Operands& t) {
        port::depthwise_dgrad({shape, t.in[0], t.in[1], t.out[0], dtype}, stream_of(t));
    };
}

DepthwiseWgrad depthwise_wgrad_args(const OpDesc& op) {
    return {.shape = wgrad_shape<DepthwiseShape>(op),
            .x = nullptr,
            .dy = nullptr,
            .dw = nullptr,
            .dtype = op.in[0].dtype,
            .dw_dtype = op.out[0].dtype};
}

Kernel depthwise_weights(const OpDesc& op) {
    return [a = depthwise_wgrad_args(op)](const Operands& t) mutable {
        a.x = t.in[0];
        a.dy = t.in[1];
        a.dw = t.out[0];
        a.workspace = t.workspace;
        port::depthwise_wgrad(a, stream_of(t));
    };
}

constexpr std::array kForward{
    Implementation{"first", conv2d_not_first, statistics_workspace, conv2d_first},
    Implementation{"handwritten", refusal, gemm_workspace, conv2d_gemm},
    Implementation{"plain", not_float32, statistics_workspace, conv2d_plain},
};
constexpr std::array kData{
    Implementation{"handwritten", refusal, [](const OpDesc& op) { return conv2d_dgrad_workspace(dgrad_args(op)); },
                   dgrad_gemm},
    Implementation{"plain", not_float32, nullptr, dgrad_plain},
};
constexpr std::array kWeights{
    Implementation{"first", wgrad_not_first,
                   [](const OpDesc& op) { return first_conv_wgrad_workspace(first_wgrad_args(op)); }, wgrad_first},
    Implementation{"handwritten", refusal, [](const OpDesc& op) { return conv2d_wgrad_workspace(wgrad_args(op)); },
                   wgrad_gemm},
    Implementation{"plain", not_float32, nullptr, wgrad_plain},
};
constexpr std::array kWithImages{
    Implementation{"handwritten", refusal, [](const OpDesc& op) { return statistics_workspace(conv2d_of(op)); },
                   image_conv_first},
};
constexpr std::array kDepthwiseForward{Implementation{"handwritten", refusal, nullptr, depthwise_forward}};
constexpr std::array kDepthwiseData{Implementation{"handwritten", refusal, nullptr, depthwise_data}};
constexpr std::array kDepthwiseWeights{
    Implementation{"handwritten", refusal,
                   [](const OpDesc& op) { return depthwise_wgrad_workspace(depthwise_wgrad_args(op)); },
                   depthwise_weights},
};

}  // namespace

List conv2d() { return kForward; }
List image_conv() { return kWithImages; }
List conv2d_dgrad() { return kData; }
List conv2d_wgrad() { return kWeights; }
List depthwise_conv() { return kDepthwiseForward; }
List depthwise_dgrad() { return kDepthwiseData; }
List depthwise_wgrad() { return kDepthwiseWeights; }

}  // namespace fer::FER_PORT::handwritten

// Convolutions by cuDNN. Its filters are (k, kh, kw, c), ours (kh, kw, c, k): the transpose of one matrix, made in
// scratch memory. With 16-bit operands it adds a bias, and writes weight gradients, in that type: both are rounded.
#include <algorithm>
#include <map>

#include "engine/run/cuda/handwritten/common.hpp"
#include "engine/run/cuda/handwritten/kernels.hpp"
#include "engine/run/cuda/libraries/cudnn.hpp"
#include "engine/run/cuda/libraries/lists.hpp"
#include "engine/run/cuda/libraries/workspace.hpp"
#include "kernels/bias.hpp"
#include "kernels/cast.hpp"
#include "kernels/transpose.hpp"

namespace fer::cuda {
namespace {

using cudnn::Descriptor;
using cudnn::Engine;
using fer::Activation;  // of the graph, not of the kernels

constexpr std::size_t kRanks = 3;  // engines that a plan may choose among

enum Id : std::int64_t { kX = 1, kW, kY, kBias, kSummed, kBiased };

cudnnDataType_t type_of(DType dtype) {
    switch (dtype) {
        case DType::kF16:
            return CUDNN_DATA_HALF;
        case DType::kBF16:
            return CUDNN_DATA_BFLOAT16;
        default:
            return CUDNN_DATA_FLOAT;
    }
}

struct Extents {
    std::int64_t n, c, h, w;
};

Extents of(const Shape& nhwc) { return {nhwc[0], nhwc[3], nhwc[1], nhwc[2]}; }

/// Channels lie next to each other, whatever the order in which cuDNN names the axes. Virtual: only between operations.
Descriptor tensor(Id id, cudnnDataType_t type, const Extents& e, bool is_virtual = false) {
    Descriptor t(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, std::vector<std::int64_t>{id});
    t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, std::vector{type});
    t.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, std::vector{e.n, e.c, e.h, e.w});
    t.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, std::vector<std::int64_t>{e.c * e.h * e.w, 1, e.c * e.w, e.c});
    t.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, std::vector<std::int64_t>{16});
    t.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    return t.finalize();
}

/// A convolution of x with w to y, whichever of the three is computed.
struct Problem {
    Shape x, w, y;
    DType dtype;
    ConvAttrs attrs;
    bool bias = false;
};

Descriptor convolution(const Problem& p) {
    const Window rows = window_of(p.x[1], p.w[0], p.attrs.stride, p.attrs.padding);
    const Window columns = window_of(p.x[2], p.w[1], p.attrs.stride, p.attrs.padding);
    const std::int64_t stride = p.attrs.stride;
    Descriptor c(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    c.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, std::vector<std::int64_t>{2});
    c.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, std::vector{CUDNN_DATA_FLOAT});
    c.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, std::vector{CUDNN_CROSS_CORRELATION});
    c.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, std::vector{rows.before, columns.before});
    c.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, std::vector{rows.after, columns.after});
    c.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, std::vector{stride, stride});
    c.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, std::vector<std::int64_t>{1, 1});
    return c.finalize();
}

Descriptor pointwise(cudnnPointwiseMode_t mode, const Descriptor& x, const Descriptor* b, const Descriptor& y,
                     Activation activation = Activation::kNone) {
    Descriptor how(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    how.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    how.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, std::vector{CUDNN_DATA_FLOAT});
    if (activation == Activation::kRelu6) {
        how.set(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, std::vector{6.0});
    }
    how.finalize();
    Descriptor op(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b != nullptr) {
        op.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
    }
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    return op.finalize();
}

/// The attribute names of one direction.
struct Direction {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
};
constexpr Direction kForward{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
constexpr Direction kData{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
constexpr Direction kWeights{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};

/// The convolution, then the bias, then the activation; between them float32.
std::vector<Descriptor> operations(const Direction& d, const Problem& p) {
    const cudnnDataType_t type = type_of(p.dtype);
    const bool activation = p.attrs.activation != Activation::kNone && d.type == kForward.type;
    const Descriptor last = tensor(kY, type, of(p.y));
    Descriptor summed = p.bias || activation ? tensor(kSummed, CUDNN_DATA_FLOAT, of(p.y), true) : last;
    Descriptor conv(d.type);
    conv.set(d.x, tensor(kX, type, of(p.x)));
    conv.set(d.w, tensor(kW, type, {p.w[3], p.w[2], p.w[0], p.w[1]}));
    conv.set(d.y, summed);
    conv.set(d.convolution, convolution(p));
    conv.set(d.alpha, CUDNN_TYPE_FLOAT, std::vector{1.0f});
    conv.set(d.beta, CUDNN_TYPE_FLOAT, std::vector{0.0f});
    std::vector<Descriptor> all{conv.finalize()};
    if (p.bias) {
        const Descriptor biased = activation ? tensor(kBiased, CUDNN_DATA_FLOAT, of(p.y), true) : last;
        const Descriptor bias = tensor(kBias, type, {1, p.y[3], 1, 1});
        all.push_back(pointwise(CUDNN_POINTWISE_ADD, summed, &bias, biased));
        summed = biased;
    }
    if (activation) {
        all.push_back(pointwise(CUDNN_POINTWISE_RELU_FWD, summed, nullptr, last, p.attrs.activation));
    }
    return all;
}

struct Found {
    std::vector<Engine> engines;
    std::string why;  // there are none
};

/// A graph that cuDNN will not have is no fault of the device.
Found ask(const Direction& d, const Problem& p) {
    try {
        const bool tensor_cores = p.dtype != DType::kF32 || p.attrs.tf32;
        return {cudnn::find_engines(operations(d, p), {tensor_cores}, kRanks), "no deterministic engine supports it"};
    } catch (const DeviceError& error) {
        return {{}, fmt::format("{} ({})", error.what(), error.why())};
    }
}

/// Asked once per problem: the first question takes some tenths of a second.
const Found& found(const Direction& d, const Problem& p) {
    static std::map<std::string, Found> all;
    const std::string key = fmt::format("{} {} {} {} {} {} {} {} {} {}", static_cast<int>(d.type), p.x.str(), p.w.str(),
                                        p.y.str(), name_of(p.dtype), p.attrs.stride, static_cast<int>(p.attrs.padding),
                                        static_cast<int>(p.attrs.activation), p.attrs.tf32, p.bias);
    const auto known = all.find(key);
    return known != all.end() ? known->second : all[key] = ask(d, p);
}

const std::vector<Engine>& engines(const Direction& d, const Problem& p) { return found(d, p).engines; }

Problem forward_problem(const OpDesc& op) {
    return {op.in[0].shape, op.in[1].shape, op.out[0].shape, op.in[0].dtype, op.as<ConvAttrs>(), op.in.size() == 3};
}
Problem data_problem(const OpDesc& op) {
    return {op.out[0].shape, op.in[1].shape, op.in[0].shape, op.in[0].dtype, op.as<ConvAttrs>()};
}
Problem weights_problem(const OpDesc& op) {
    return {op.in[0].shape, op.out[0].shape, op.in[1].shape, op.in[0].dtype, op.as<ConvAttrs>()};
}

template <const Direction& D>
Problem problem_of(const OpDesc& op) {
    if constexpr (&D == &kForward) {
        return forward_problem(op);
    } else if constexpr (&D == &kData) {
        return data_problem(op);
    } else {
        return weights_problem(op);
    }
}

Refusal shape_refusal(const OpDesc& op, const Problem& p) {
    if (op.in[1].dtype != p.dtype) {
        return "operands of two types";
    }
    if (op.kind != OpKind::kConv2dWgrad && op.out[0].dtype != p.dtype) {
        return "a result of another type than its operands";
    }
    if (op.kind == OpKind::kConv2d && op.in.size() > 3) {
        return "adds no residual";
    }
    if (p.x.count() == 0 || p.w.count() == 0 || p.y.count() == 0) {
        return "an empty tensor";
    }
    return refusal(op);
}

template <const Direction& D, std::size_t Rank>
Refusal refuses(const OpDesc& op) {
    const Problem p = problem_of<D>(op);
    if (Refusal why = shape_refusal(op, p)) {
        return why;
    }
    if (Refusal why = cudnn::Target::missing()) {
        return why;
    }
    const Found& all = found(D, p);
    if (all.engines.size() > Rank) {
        return std::nullopt;
    }
    return all.engines.empty() ? all.why : fmt::format("{} deterministic engines support it", all.engines.size());
}

/// Offsets into the scratch memory of a node.
struct Scratch {
    std::int64_t filters, bias, bias_gradient, engine, bytes;
};

template <const Direction& D, std::size_t Rank>
Scratch scratch(const OpDesc& op) {
    const Problem p = problem_of<D>(op);
    const auto element = static_cast<std::int64_t>(size_of(p.dtype));
    Parts parts;
    Scratch s{};
    s.filters = parts.add(p.w.count() * element);
    s.bias = parts.add(p.bias && p.dtype != DType::kF32 ? p.y[3] * element : 0);
    const bool bias_gradient = op.kind == OpKind::kConv2dWgrad && op.out.size() == 2;
    s.bias_gradient =
        parts.add(bias_gradient ? static_cast<std::int64_t>(bias_grad_workspace(rows_of(p.y), channels_of(p.y))) : 0);
    s.engine = parts.add(engines(D, p)[Rank].workspace);
    s.bytes =
        op.kind == OpKind::kConv2d ? std::max(parts.bytes(), handwritten::statistics_workspace(op)) : parts.bytes();
    return s;
}

template <const Direction& D, std::size_t Rank>
std::int64_t workspace(const OpDesc& op) {
    return scratch<D, Rank>(op).bytes;
}

template <const Direction& D, std::size_t Rank>
std::string note(const OpDesc& op) {
    return fmt::format("engine {}", engines(D, problem_of<D>(op))[Rank].id);
}

/// HWIO to filters, or back.
void turn(const Shape& w, const void* from, DType from_type, void* to, DType to_type, bool back, cudaStream_t stream) {
    const int taps = to_int(w[0] * w[1] * w[2]);
    const int filters = to_int(w[3]);
    transpose({.x = from,
               .y = to,
               .rows = back ? filters : taps,
               .columns = back ? taps : filters,
               .from = from_type,
               .to = to_type},
              stream);
}

template <std::size_t Rank>
Kernel make_forward(const OpDesc& op) {
    const Problem p = forward_problem(op);
    const auto run = [p, s = scratch<kForward, Rank>(op), engine = engines(kForward, p)[Rank]](const Operands& t) {
        const cudaStream_t stream = stream_of(t);
        turn(p.w, t.in[1], p.dtype, at(t.workspace, s.filters), p.dtype, false, stream);
        std::vector<std::int64_t> ids{kX, kW, kY};
        std::vector<void*> addresses{t.in[0], at(t.workspace, s.filters), t.out[0]};
        if (p.bias) {
            void* bias = t.in[2];
            if (p.dtype != DType::kF32) {
                bias = at(t.workspace, s.bias);
                port::cast({.x = t.in[2], .y = bias, .count = p.y[3], .from = DType::kF32, .to = p.dtype}, stream);
            }
            ids.push_back(kBias);
            addresses.push_back(bias);
        }
        execute(engine, ids, addresses, at(t.workspace, s.engine), stream);
    };
    return handwritten::with_statistics(op, run);
}

template <std::size_t Rank>
Kernel make_data(const OpDesc& op) {
    const Problem p = data_problem(op);
    return [p, s = scratch<kData, Rank>(op), engine = engines(kData, p)[Rank]](const Operands& t) {
        const cudaStream_t stream = stream_of(t);
        turn(p.w, t.in[1], p.dtype, at(t.workspace, s.filters), p.dtype, false, stream);
        execute(engine, {kY, kW, kX}, {t.in[0], at(t.workspace, s.filters), t.out[0]}, at(t.workspace, s.engine),
                stream);
    };
}

template <std::size_t Rank>
Kernel make_weights(const OpDesc& op) {
    const Problem p = weights_problem(op);
    const bool bias = op.out.size() == 2;
    return [p, bias, to = op.out[0].dtype, s = scratch<kWeights, Rank>(op),
            engine = engines(kWeights, p)[Rank]](const Operands& t) {
        const cudaStream_t stream = stream_of(t);
        execute(engine, {kX, kY, kW}, {t.in[0], t.in[1], at(t.workspace, s.filters)}, at(t.workspace, s.engine),
                stream);
        turn(p.w, at(t.workspace, s.filters), p.dtype, t.out[0], to, true, stream);
        if (bias) {
            bias_bwd({.dy = t.in[1],
                      .db = t.output<float>(1),
                      .dtype = p.dtype,
                      .rows = rows_of(p.y),
                      .c = channels_of(p.y),
                      .workspace = at(t.workspace, s.bias_gradient)},
                     stream);
        }
    };
}

template <const Direction& D, std::size_t Rank>
constexpr Implementation ranked(std::string_view name, Kernel (*make)(const OpDesc&)) {
    return {name, refuses<D, Rank>, workspace<D, Rank>, make, note<D, Rank>};
}

constexpr std::array kForwardList{ranked<kForward, 0>("cudnn", make_forward<0>),
                                  ranked<kForward, 1>("cudnn.2", make_forward<1>),
                                  ranked<kForward, 2>("cudnn.3", make_forward<2>)};
constexpr std::array kDataList{ranked<kData, 0>("cudnn", make_data<0>), ranked<kData, 1>("cudnn.2", make_data<1>),
                               ranked<kData, 2>("cudnn.3", make_data<2>)};
constexpr std::array kWeightsList{ranked<kWeights, 0>("cudnn", make_weights<0>),
                                  ranked<kWeights, 1>("cudnn.2", make_weights<1>),
                                  ranked<kWeights, 2>("cudnn.3", make_weights<2>)};

}  // namespace

std::span<const Implementation> cudnn_conv2d() { return kForwardList; }
std::span<const Implementation> cudnn_conv2d_dgrad() { return kDataList; }
std::span<const Implementation> cudnn_conv2d_wgrad() { return kWeightsList; }

}  // namespace fer::cuda

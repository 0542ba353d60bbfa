// Small checks and helpers of the shape rules.
#pragma once

#include "engine/graph/rules.hpp"

namespace fer::rules {

inline bool is_real(DType t) { return t == DType::kF32 || t == DType::kF64 || t == DType::kF16 || t == DType::kBF16; }

inline void expect_inputs(const OpDesc& op, std::size_t least, std::size_t most) {
    FER_CHECK(op.in.size() >= least && op.in.size() <= most, "takes {}{} inputs, got {}", least,
              most > least ? fmt::format(" to {}", most) : "", op.in.size());
}

inline void expect_shape(const OpDesc& op, std::size_t input, const Shape& shape) {
    FER_CHECK(op.in[input].shape == shape, "input {} must be {}, got {}", input, shape.str(), op.in[input].shape.str());
}

inline Shape channels(const OpDesc& op) {
    FER_CHECK(op.in[0].shape.rank() > 0, "input 0 is a scalar, it has no channels");
    return {op.in[0].shape.back()};
}

/// Statistics, losses and reductions are at least float32.
inline DType reduced(DType t) { return t == DType::kF64 ? DType::kF64 : DType::kF32; }

inline Infos like_input(const OpDesc& op, std::size_t input = 0) { return {op.in[input]}; }

inline Shape conv_output(const Shape& x, const Shape& w, const ConvAttrs& attrs, std::int64_t out_channels) {
    return {x[0], window_of(x[1], w[0], attrs.stride, attrs.padding).out,
            window_of(x[2], w[1], attrs.stride, attrs.padding).out, out_channels};
}

}  // namespace fer::rules

// From descriptors to the arguments of kernels.
#pragma once

#include <limits>

#include "engine/core/error.hpp"
#include "engine/graph/op_table.hpp"
#include "engine/plan/implementation.hpp"
#include "kernels/activation.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

inline cudaStream_t stream_of(const Operands& t) { return static_cast<cudaStream_t>(t.queue); }

/// Extents fit: refusal() has seen to it.
inline int to_int(std::int64_t extent) { return static_cast<int>(extent); }

inline Activation activation_of(fer::Activation activation) {
    switch (activation) {
        case fer::Activation::kRelu:
            return Activation::kRelu;
        case fer::Activation::kRelu6:
            return Activation::kRelu6;
        case fer::Activation::kNone:
            break;
    }
    return Activation::kNone;
}

/// Stands for an optional result until the kernel runs: the size of a workspace may depend on whether it is wanted.
inline float* wanted(bool there) {
    static float somewhere;
    return there ? &somewhere : nullptr;
}

/// All axes but the last, and the last.
inline std::int64_t rows_of(const Shape& shape) {
    const std::int64_t c = shape[shape.rank() - 1];
    return c == 0 ? 0 : shape.count() / c;
}
inline int channels_of(const Shape& shape) { return to_int(shape[shape.rank() - 1]); }

/// What every kernel refuses: float64, and tensors of 2^31 elements.
inline Refusal refusal(const OpDesc& op) {
    for (const auto* tensors : {&op.in, &op.out, &op.state}) {
        for (const TensorInfo& info : *tensors) {
            if (info.dtype == DType::kF64 && op.kind != OpKind::kMetrics) {
                return "float64 is for checks on the cpu";
            }
            // The data set is addressed by 64-bit offsets.
            if (info.shape.count() > std::numeric_limits<int>::max() && !reads_data_set(op.kind)) {
                return fmt::format("a tensor of {} elements is beyond 32-bit indices", info.shape.count());
            }
        }
    }
    return std::nullopt;
}

}  // namespace fer::FER_PORT

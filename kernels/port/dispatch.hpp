// From a DType to a template argument.
//
//     with_float_type(a.dtype, [&]<class T>() { launch(relu_kernel<T>, over(a.count), stream, a); });
#pragma once

#include "engine/core/error.hpp"
#include "kernels/port/convert.hpp"

namespace fer::FER_PORT {

/// Calls body.operator()<T>() for f32, f16 or bf16; refuses the rest.
template <class Body>
void with_float_type(DType type, Body&& body) {
    switch (type) {
        case DType::kF32:
            return body.template operator()<float>();
        case DType::kF16:
            return body.template operator()<__half>();
        case DType::kBF16:
            return body.template operator()<__nv_bfloat16>();
        default:
            break;
    }
    throw UsageError(fmt::format("no kernel for {}; f32, f16 or bf16", name_of(type)));
}

}  // namespace fer::FER_PORT

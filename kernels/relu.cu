#include "kernels/relu.hpp"

#include "kernels/mask.cuh"

namespace fer::FER_PORT {
namespace {

template <class Op>
struct Groups {
    Op a;
    unsigned count, groups;
    bool vector;
};

template <class T>
__global__ void __launch_bounds__(256) relu_fwd_kernel(Groups<Relu> k) {
    wait_for_previous();
    const Relu& a = k.a;
    for (unsigned g = grid_thread(); g < k.groups; g += grid_threads()) {
        float value[kGroup] = {};
        if (g * kGroup < k.count) {
            load_group<T>(value, a.x, g, k.count, k.vector);
#pragma unroll
            for (int j = 0; j < kGroup; ++j) {
                value[j] = activate(value[j], a.activation);
            }
            store_group<T>(a.y, value, g, k.count, k.vector);
        }
        if (a.mask != nullptr) {
            store_mask(a.mask, value, g, a.activation);
        }
    }
}

template <class T>
__global__ void __launch_bounds__(256) relu_bwd_kernel(Groups<ReluGrad> k) {
    wait_for_previous();
    const ReluGrad& a = k.a;
    for (unsigned g = grid_thread(); g < k.groups; g += grid_threads()) {
        float value[kGroup];
        unsigned bits = 0;
        if (a.mask != nullptr) {
            bits = load_mask(a.mask, g);
        } else {
            load_group<T>(value, a.y, g, k.count, k.vector);
#pragma unroll
            for (int j = 0; j < kGroup; ++j) {
                bits |= passes(value[j], a.activation) ? 1u << j : 0u;
            }
        }
        load_group<T>(value, a.dy, g, k.count, k.vector);
#pragma unroll
        for (int j = 0; j < kGroup; ++j) {
            value[j] = (bits >> j & 1u) != 0 ? value[j] : 0.0f;
        }
        store_group<T>(a.dx, value, g, k.count, k.vector);
    }
}

}  // namespace

void relu_fwd(const Relu& a, cudaStream_t stream) {
    FER_CHECK(a.activation != Activation::kNone || a.mask == nullptr, "relu: a mask of no activation");
    const Launch shape = over_mask_groups(a.count, a.mask != nullptr);
    const auto groups = static_cast<unsigned>(a.mask != nullptr ? mask_words(a.count) * 4 : (a.count + 7) / 8);
    by_float_type(a.dtype, "relu", [&]<class T>(T) {
        launch(relu_fwd_kernel<T>, shape, stream,
               {a, static_cast<unsigned>(a.count), groups, is_aligned(a.x) && is_aligned(a.y)});
    });
}

void relu_bwd(const ReluGrad& a, cudaStream_t stream) {
    const Launch shape = over_mask_groups(a.count, false);
    by_float_type(a.dtype, "relu", [&]<class T>(T) {
        const bool vector = is_aligned(a.dy) && is_aligned(a.dx) && (a.mask != nullptr || is_aligned(a.y));
        launch(relu_bwd_kernel<T>, shape, stream,
               {a, static_cast<unsigned>(a.count), static_cast<unsigned>((a.count + 7) / 8), vector});
    });
}

}  // namespace fer::FER_PORT

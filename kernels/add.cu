#include "kernels/add.hpp"

#include "kernels/mask.cuh"

namespace fer::FER_PORT {
namespace {

struct AddGroups {
    Add a;
    unsigned count, groups;
    bool vector;
};

template <class T>
__global__ void __launch_bounds__(256) add_fwd_kernel(AddGroups k) {
    wait_for_previous();
    const Add& a = k.a;
    for (unsigned g = grid_thread(); g < k.groups; g += grid_threads()) {
        float sum[kGroup] = {};
        if (g * kGroup < k.count) {
            float term[kGroup];
            load_group<T>(sum, a.a, g, k.count, k.vector);
            load_group<T>(term, a.b, g, k.count, k.vector);
#pragma unroll
            for (int j = 0; j < kGroup; ++j) {
                // Rounded before the activation: the mask must agree with the stored y, which may underflow to 0.
                sum[j] = activate(to_float(from_float<T>(sum[j] + term[j])), a.activation);
            }
            store_group<T>(a.y, sum, g, k.count, k.vector);
        }
        if (a.mask != nullptr) {
            store_mask(a.mask, sum, g, a.activation);
        }
    }
}

}  // namespace

void add_fwd(const Add& a, cudaStream_t stream) {
    FER_CHECK(a.activation != Activation::kNone || a.mask == nullptr, "add: a mask of no activation");
    const bool vector = is_aligned(a.a) && is_aligned(a.b) && is_aligned(a.y);
    const Launch shape = over_mask_groups(a.count, a.mask != nullptr);
    const auto groups = static_cast<unsigned>(a.mask != nullptr ? (a.count + 31) / 32 * 4 : (a.count + 7) / 8);
    by_float_type(a.dtype, "add", [&]<class T>(T) {
        launch(add_fwd_kernel<T>, shape, stream, {a, static_cast<unsigned>(a.count), groups, vector});
    });
}

}  // namespace fer::FER_PORT

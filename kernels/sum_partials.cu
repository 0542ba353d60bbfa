#include "kernels/sum_partials.hpp"

#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

constexpr unsigned kColumns = 32;
constexpr unsigned kShares = 8;

template <class T>
__global__ void __launch_bounds__(kColumns* kShares) sum_partials_kernel(SumPartials a) {
    wait_for_previous();
    FER_SHARED(float, sums, [kShares][kColumns]);
    const unsigned column = threadIdx.x % kColumns;
    const unsigned share = threadIdx.x / kColumns;
    const unsigned i = blockIdx.x * kColumns + column;
    const bool valid = i < static_cast<unsigned>(a.count);
    float sum = 0.0f;
#pragma unroll 4
    for (unsigned part = share; valid && part < static_cast<unsigned>(a.parts); part += kShares) {
        sum += a.partials[part * static_cast<unsigned>(a.pitch) + i];
    }
    sums[share][column] = sum;
    __syncthreads();
    if (share == 0 && valid) {
        for (unsigned s = 1; s < kShares; ++s) {
            sum += sums[s][column];
        }
        static_cast<T*>(a.out)[i] = from_float<T>(sum);
    }
}

}  // namespace

void sum_partials(const SumPartials& a, cudaStream_t stream) {
    require_indexable(std::int64_t{a.parts} * a.pitch);
    const Launch shape{.grid = dim3((static_cast<unsigned>(a.count) + kColumns - 1) / kColumns),
                       .block = dim3(kColumns * kShares)};
    by_float_type(a.out_dtype, "sum_partials", [&]<class T>(T) { launch(sum_partials_kernel<T>, shape, stream, a); });
}

}  // namespace fer::FER_PORT

// The transpose of a matrix, tile by tile through shared memory.
#include "kernels/transpose.hpp"

#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

constexpr unsigned kTile = 32;
constexpr unsigned kRows = 8;  // of threads; each takes every eighth row of a tile

struct TransposeArgs {
    const void* x;
    void* y;
    unsigned rows, columns;
    unsigned tiles_across;
};

template <class From, class To>
__global__ void __launch_bounds__(kTile* kRows) transpose_kernel(TransposeArgs a) {
    wait_for_previous();
    FER_SHARED(float, tile, [kTile][kTile + 1]);  // one more: a column of it lies in 32 banks
    const From* const x = static_cast<const From*>(a.x);
    To* const y = static_cast<To*>(a.y);
    const unsigned top = blockIdx.x / a.tiles_across * kTile;
    const unsigned left = blockIdx.x % a.tiles_across * kTile;
    for (unsigned r = threadIdx.y; r < kTile; r += kRows) {
        if (top + r < a.rows && left + threadIdx.x < a.columns) {
            tile[r][threadIdx.x] = to_float(x[(top + r) * a.columns + left + threadIdx.x]);
        }
    }
    __syncthreads();
    for (unsigned r = threadIdx.y; r < kTile; r += kRows) {
        if (left + r < a.columns && top + threadIdx.x < a.rows) {
            y[(left + r) * a.rows + top + threadIdx.x] = from_float<To>(tile[threadIdx.x][r]);
        }
    }
}

}  // namespace

void transpose(const Transpose& a, cudaStream_t stream) {
    require_indexable(std::int64_t{a.rows} * a.columns);
    const auto rows = static_cast<unsigned>(a.rows);
    const auto columns = static_cast<unsigned>(a.columns);
    const unsigned down = (rows + kTile - 1) / kTile;
    const unsigned across = (columns + kTile - 1) / kTile;
    const TransposeArgs args{a.x, a.y, rows, columns, across};
    by_float_type(a.from, "transpose", [&]<class From>(From) {
        by_float_type(a.to, "transpose", [&]<class To>(To) {
            launch(transpose_kernel<From, To>, {.grid = dim3(down * across), .block = dim3(kTile, kRows)}, stream,
                   args);
        });
    });
}

}  // namespace fer::FER_PORT

// The second half of a split sum: its parts are added in order, and finished as the product's own epilogue would.
#include "kernels/conv2d_tile.cuh"

namespace fer::FER_PORT {
namespace {

// One thread per 16 bytes of a row of results; row m, where there is one, is the bias gradient.
template <class T>
__global__ void __launch_bounds__(256) conv2d_add_splits_kernel(GemmArgs g) {
    wait_for_previous();
    constexpr int kGroup = kVector<T>;
    const unsigned groups = (g.n + kGroup - 1) / kGroup;
    const unsigned rows = g.m + (g.dbias != nullptr ? 1 : 0);
    for (unsigned i = grid_thread(); i < rows * groups; i += grid_threads()) {
        const unsigned row = i / groups;
        const unsigned column = i % groups * kGroup;
        const int count = static_cast<int>(min(static_cast<unsigned>(kGroup), g.n - column));
        float sum[kGroup] = {};
        for (unsigned split = 0; split < g.splits; ++split) {
            const float* const from = g.partial + (split * rows + row) * g.n + column;
            float part[kGroup];
            g.wide_out ? load_floats(part, from) : load_floats(part, from, count);
#pragma unroll
            for (int j = 0; j < kGroup; ++j) {
                sum[j] += part[j];
            }
        }
        if (row == g.m) {
            store_floats(g.dbias + column, sum, count);
        } else {
            float bias[kGroup];
            load_bias(g, column, bias);
            finish<T>(g, row, column, bias, sum);
        }
    }
}

}  // namespace

void conv2d_add_splits(const GemmArgs& g, DType dtype, cudaStream_t stream) {
    by_float_type(dtype, "conv2d", [&]<class T>(T) {
        const std::int64_t rows = std::int64_t{g.m} + (g.dbias != nullptr ? 1 : 0);
        const std::int64_t groups = (g.n + kVector<T> - 1) / kVector<T>;
        launch(conv2d_add_splits_kernel<T>, over(rows * groups), stream, g);
    });
}

}  // namespace fer::FER_PORT

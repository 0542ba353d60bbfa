// Bias and its gradient.
#include "kernels/bias.hpp"

#include "kernels/columns.cuh"

namespace fer::FER_PORT {
namespace {

struct BiasArgs {
    Bias a;
    Columns shape;
};

template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads) bias_fwd_kernel(BiasArgs s) {
    wait_for_previous();
    const ColumnThread t = column_thread(s.shape, V);
    if (!t.active) {
        return;
    }
    float b[V];
#pragma unroll
    for (int i = 0; i < V; ++i) {
        b[i] = s.a.b[t.channel + i];
    }
    for (unsigned row = t.begin; row < t.end; row += t.step) {
        const unsigned at = row * s.shape.c + t.channel;
        float v[V];
        load_floats(v, static_cast<const T*>(s.a.x) + at);
#pragma unroll
        for (int i = 0; i < V; ++i) {
            v[i] = activate(v[i] + b[i], s.a.activation);
        }
        store_floats(static_cast<T*>(s.a.y) + at, v);
    }
}

struct BiasGradArgs {
    BiasGrad a;
    Columns shape;
};

template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads) bias_bwd_kernel(BiasGradArgs s) {
    wait_for_previous();
    FER_SHARED(float, shared, [V * kColumnThreads]);
    const ColumnThread t = column_thread(s.shape, V);
    float sums[V] = {};
#pragma unroll 4
    for (unsigned row = t.begin; row < t.end; row += t.step) {
        float v[V];
        load_floats(v, static_cast<const T*>(s.a.dy) + row * s.shape.c + t.channel);
#pragma unroll
        for (int i = 0; i < V; ++i) {
            sums[i] += v[i];
        }
    }
    sum_lanes(sums, shared, s.shape.lanes);
    if (threadIdx.x < s.shape.lanes && t.active) {
        float* const out = static_cast<float*>(s.a.workspace) + blockIdx.x * s.shape.c + t.channel;
#pragma unroll
        for (int i = 0; i < V; ++i) {
            out[i] = sums[i];
        }
    }
}

__global__ void __launch_bounds__(kColumnThreads) bias_bwd_total_kernel(BiasGradArgs s) {
    wait_for_previous();
    FER_SHARED(double, shared, [64]);
    const unsigned channel = finish_channel();
    const bool active = channel < s.shape.c;
    const float* const partials = static_cast<const float*>(s.a.workspace);
    double sum = 0;
    if (active) {
        for (unsigned p = finish_lane(); p < s.shape.parts; p += kFinishLanes) {
            sum += static_cast<double>(partials[p * s.shape.c + channel]);
        }
    }
    sum = sum_finish_lanes(sum, shared);
    if (active && finish_lane() == 0) {
        s.a.db[channel] = static_cast<float>(sum);
    }
}

}  // namespace

void bias_fwd(const Bias& a, cudaStream_t stream) {
    require_indexable(a.rows * a.c);
    if (a.rows == 0 || a.c == 0) {
        return;
    }
    by_float_type(a.dtype, "bias", [&]<class T>(T) {
        constexpr int kV = kVector<T>;
        const bool vectors = a.c % kV == 0 && all_aligned(a.x, a.y);
        const Columns shape = plan_elementwise(a.rows, a.c, vectors ? kV : 1);
        launch(vectors ? bias_fwd_kernel<T, kV> : bias_fwd_kernel<T, 1>, shape.launch_shape(), stream, {a, shape});
    });
}

std::size_t bias_grad_workspace(std::int64_t rows, int c) {
    return sizeof(float) * most_column_parts(rows, c) * static_cast<std::size_t>(c);
}

void bias_bwd(const BiasGrad& a, cudaStream_t stream) {
    require_indexable(a.rows * a.c);
    if (a.c == 0) {
        return;
    }
    by_float_type(a.dtype, "bias_grad", [&]<class T>(T) {
        constexpr int kV = kVector<T>;
        const bool vectors = a.c % kV == 0 && is_aligned(a.dy);
        const Columns shape = plan_columns(a.rows, a.c, vectors ? kV : 1);
        if (shape.parts > 0) {
            launch(vectors ? bias_bwd_kernel<T, kV> : bias_bwd_kernel<T, 1>, shape.launch_shape(), stream, {a, shape});
        }
        launch(bias_bwd_total_kernel, finish_shape(a.c), stream, {a, shape});
    });
}

}  // namespace fer::FER_PORT

// Batch normalization: from statistics to outputs, with residual, activation and max pool.
#include "kernels/batch_norm.cuh"

namespace fer::FER_PORT {
namespace {

struct ApplyArgs {
    BatchNormApply a;
    Columns shape;
};

template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads) batch_norm_apply_kernel(ApplyArgs s) {
    wait_for_previous();
    const BatchNormApply& a = s.a;
    const ColumnThread t = column_thread(s.shape, V);
    if (!t.active) {
        return;
    }
    Normalizer<V> normalize;
    normalize.read(a.mean, a.variance, a.gamma, a.beta, t.channel, a.epsilon);
    const T* const x = static_cast<const T*>(a.x);
    const T* const residual = static_cast<const T*>(a.residual);
    for (unsigned row = t.begin; row < t.end; row += t.step) {
        const unsigned at = row * s.shape.c + t.channel;
        float v[V];
        float r[V] = {};
        load_floats(v, x + at);
        if (residual != nullptr) {
            load_floats(r, residual + at);
        }
#pragma unroll
        for (int i = 0; i < V; ++i) {
            const float y = normalize(v[i], i);
            v[i] = activate(residual != nullptr ? y + r[i] : y, a.activation);
        }
        store_floats(static_cast<T*>(a.y) + at, v);
    }
}

struct PoolArgs {
    BatchNormPool a;
    Columns shape;  // its rows are those of p
    Divisor columns, lines;
};

template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads) batch_norm_pool_kernel(PoolArgs s) {
    wait_for_previous();
    const BatchNormPool& a = s.a;
    const ColumnThread t = column_thread(s.shape, V);
    if (!t.active) {
        return;
    }
    Normalizer<V> normalize;
    normalize.read(a.mean, a.variance, a.gamma, a.beta, t.channel, a.epsilon);
    const unsigned c = s.shape.c, h = static_cast<unsigned>(a.h), w = static_cast<unsigned>(a.w);
    for (unsigned row = t.begin; row < t.end; row += t.step) {
        unsigned image = row;
        const unsigned q = s.columns.peel(image);
        const unsigned p = s.lines.peel(image);
        const T* const x = static_cast<const T*>(a.x) + ((image * h + 2 * p) * w + 2 * q) * c + t.channel;
        float best[V] = {};
        Vector<std::uint8_t, V> winner{};
#pragma unroll
        for (int place = 0; place < 4; ++place) {
            float v[V];
            load_floats(v, x + (static_cast<unsigned>(place / 2) * w + static_cast<unsigned>(place % 2)) * c);
#pragma unroll
            for (int i = 0; i < V; ++i) {
                const float y = rounded<T>(activate(normalize(v[i], i), a.activation));
                if (place == 0 || y > best[i] || (y != y && best[i] == best[i])) {  // NaN wins, the first of them
                    best[i] = y;
                    winner[i] = static_cast<std::uint8_t>(place);
                }
            }
        }
        store_floats(static_cast<T*>(a.p) + row * c + t.channel, best);
        if (a.argmax != nullptr) {
            store(a.argmax + row * c + t.channel, winner);
        }
    }
}

struct InferenceGradArgs {
    BatchNormInferenceGrad a;
    Columns shape;
};

template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads) batch_norm_inference_bwd_kernel(InferenceGradArgs s) {
    wait_for_previous();
    const BatchNormInferenceGrad& a = s.a;
    const ColumnThread t = column_thread(s.shape, V);
    if (!t.active) {
        return;
    }
    float scale[V];
#pragma unroll
    for (int i = 0; i < V; ++i) {
        scale[i] = a.gamma[t.channel + i] * inverse_deviation(a.variance[t.channel + i], a.epsilon);
    }
    for (unsigned row = t.begin; row < t.end; row += t.step) {
        const unsigned at = row * s.shape.c + t.channel;
        float v[V];
        load_floats(v, static_cast<const T*>(a.dy) + at);
#pragma unroll
        for (int i = 0; i < V; ++i) {
            v[i] *= scale[i];
        }
        store_floats(static_cast<T*>(a.dx) + at, v);
    }
}

}  // namespace

void batch_norm_apply(const BatchNormApply& a, cudaStream_t stream) {
    require_indexable(a.rows * a.c);
    if (a.rows == 0 || a.c == 0) {
        return;
    }
    by_float_type(a.dtype, "batch_norm", [&]<class T>(T) {
        constexpr int kV = kVector<T>;
        const bool vectors = a.c % kV == 0 && all_aligned(a.x, a.residual, a.y);
        const Columns shape = plan_elementwise(a.rows, a.c, vectors ? kV : 1);
        launch(vectors ? batch_norm_apply_kernel<T, kV> : batch_norm_apply_kernel<T, 1>, shape.launch_shape(), stream,
               {a, shape});
    });
}

void batch_norm_pool(const BatchNormPool& a, cudaStream_t stream) {
    require_indexable(std::int64_t{a.n} * a.h * a.w * a.c);
    const std::int64_t rows = std::int64_t{a.n} * (a.h / 2) * (a.w / 2);
    if (rows == 0 || a.c == 0) {
        return;
    }
    by_float_type(a.dtype, "batch_norm", [&]<class T>(T) {
        constexpr int kV = kVector<T>;
        const bool vectors = a.c % kV == 0 && all_aligned(a.x, a.p, a.argmax);
        const Columns shape = plan_elementwise(rows, a.c, vectors ? kV : 1);
        launch(vectors ? batch_norm_pool_kernel<T, kV> : batch_norm_pool_kernel<T, 1>, shape.launch_shape(), stream,
               {a, shape, Divisor(static_cast<unsigned>(a.w / 2)), Divisor(static_cast<unsigned>(a.h / 2))});
    });
}

void batch_norm_inference_bwd(const BatchNormInferenceGrad& a, cudaStream_t stream) {
    require_indexable(a.rows * a.c);
    if (a.rows == 0 || a.c == 0) {
        return;
    }
    by_float_type(a.dtype, "batch_norm", [&]<class T>(T) {
        constexpr int kV = kVector<T>;
        const bool vectors = a.c % kV == 0 && all_aligned(a.dy, a.dx);
        const Columns shape = plan_elementwise(a.rows, a.c, vectors ? kV : 1);
        launch(vectors ? batch_norm_inference_bwd_kernel<T, kV> : batch_norm_inference_bwd_kernel<T, 1>,
               shape.launch_shape(), stream, {a, shape});
    });
}

}  // namespace fer::FER_PORT

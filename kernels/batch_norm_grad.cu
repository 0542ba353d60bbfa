// Batch normalization: gradients.
#include "kernels/batch_norm.cuh"

namespace fer::FER_PORT {
namespace {

struct ReduceArgs {
    BatchNormGrad a;
    Columns shape;
    float* partials;  // (parts, 2, c): sum dz, sum dz * xhat
};

/// dz of one element: dy where the activation let the forward value through.
template <class T, int V>
FER_DEVICE float masked(float dy, float x, float y, const Normalizer<V>& normalize, int i, const BatchNormGrad& a) {
    if (a.activation == Activation::kNone) {
        return dy;
    }
    const float out = a.y != nullptr ? y : rounded<T>(activate(normalize(x, i), a.activation));
    return passes(out, a.activation) ? dy : 0.0f;
}

template <int V>
FER_DEVICE void store_partials(const float (&sums)[2 * V], float* partials, const Columns& shape,
                               const ColumnThread& t) {
    if (threadIdx.x < shape.lanes && t.active) {
        float* const out = partials + blockIdx.x * 2 * shape.c + t.channel;
#pragma unroll
        for (int i = 0; i < V; ++i) {
            out[i] = sums[i];
            out[shape.c + i] = sums[V + i];
        }
    }
}

template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads) batch_norm_bwd_reduce_kernel(ReduceArgs s) {
    wait_for_previous();
    FER_SHARED(float, shared, [2 * V * kColumnThreads]);
    const BatchNormGrad& a = s.a;
    const ColumnThread t = column_thread(s.shape, V);
    float sums[2 * V] = {};
    if (t.active) {
        Normalizer<V> normalize;
        normalize.read(a.mean, a.variance, a.gamma, a.beta, t.channel, a.epsilon);
        for (unsigned row = t.begin; row < t.end; row += t.step) {
            const unsigned at = row * s.shape.c + t.channel;
            float dy[V], x[V];
            float y[V] = {};
            load_floats(dy, static_cast<const T*>(a.dy) + at);
            load_floats(x, static_cast<const T*>(a.x) + at);
            if (a.y != nullptr) {
                load_floats(y, static_cast<const T*>(a.y) + at);
            }
#pragma unroll
            for (int i = 0; i < V; ++i) {
                const float dz = masked<T>(dy[i], x[i], y[i], normalize, i, a);
                sums[i] += dz;
                sums[V + i] = fmaf(dz, x[i] - normalize.mean[i], sums[V + i]);
            }
        }
#pragma unroll
        for (int i = 0; i < V; ++i) {
            sums[V + i] *= inverse_deviation(a.variance[t.channel + i], a.epsilon);
        }
    }
    sum_lanes(sums, shared, s.shape.lanes);
    store_partials<V>(sums, s.partials, s.shape, t);
}

struct TotalArgs {
    const float* partials;  // (parts, 2, c)
    float* dbeta;
    float* dgamma;
    unsigned parts, c;
};

__global__ void __launch_bounds__(kColumnThreads) batch_norm_bwd_total_kernel(TotalArgs a) {
    wait_for_previous();
    FER_SHARED(double, shared, [64]);
    const unsigned channel = finish_channel();
    const bool active = channel < a.c;
    double dbeta = 0, dgamma = 0;
    if (active) {
        for (unsigned p = finish_lane(); p < a.parts; p += kFinishLanes) {
            dbeta += static_cast<double>(a.partials[p * 2 * a.c + channel]);
            dgamma += static_cast<double>(a.partials[(p * 2 + 1) * a.c + channel]);
        }
    }
    dbeta = sum_finish_lanes(dbeta, shared);
    dgamma = sum_finish_lanes(dgamma, shared);
    if (active && finish_lane() == 0) {
        a.dbeta[channel] = static_cast<float>(dbeta);
        a.dgamma[channel] = static_cast<float>(dgamma);
    }
}

/// dx = scale * (dz - offset - (x - mean) * slope)
template <int V>
struct InputGradient {
    float offset[V], slope[V];

    FER_DEVICE void read(const float* dgamma, const float* dbeta, const float* variance, unsigned channel,
                         float epsilon, float rows) {
#pragma unroll
        for (int i = 0; i < V; ++i) {
            offset[i] = dbeta[channel + i] / rows;
            slope[i] = dgamma[channel + i] / rows * inverse_deviation(variance[channel + i], epsilon);
        }
    }
    FER_DEVICE float operator()(float dz, float x, const Normalizer<V>& n, int i, bool x_is_relu) const {
        const float d = n.scale[i] * (dz - offset[i] - (x - n.mean[i]) * slope[i]);
        return x_is_relu && !(x > 0.0f) ? 0.0f : d;
    }
};

template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads) batch_norm_bwd_apply_kernel(ReduceArgs s) {
    wait_for_previous();
    const BatchNormGrad& a = s.a;
    const ColumnThread t = column_thread(s.shape, V);
    if (!t.active) {
        return;
    }
    Normalizer<V> normalize;
    InputGradient<V> gradient;
    normalize.read(a.mean, a.variance, a.gamma, a.beta, t.channel, a.epsilon);
    gradient.read(a.dgamma, a.dbeta, a.variance, t.channel, a.epsilon, static_cast<float>(s.shape.rows));
    for (unsigned row = t.begin; row < t.end; row += t.step) {
        const unsigned at = row * s.shape.c + t.channel;
        float dz[V], x[V];
        float y[V] = {};
        load_floats(dz, static_cast<const T*>(a.dy) + at);
        load_floats(x, static_cast<const T*>(a.x) + at);
        if (a.y != nullptr) {
            load_floats(y, static_cast<const T*>(a.y) + at);
        }
#pragma unroll
        for (int i = 0; i < V; ++i) {
            dz[i] = masked<T>(dz[i], x[i], y[i], normalize, i, a);
            x[i] = gradient(dz[i], x[i], normalize, i, a.x_is_relu);
        }
        if (a.dresidual != nullptr) {
            store_floats(static_cast<T*>(a.dresidual) + at, dz);
        }
        store_floats(static_cast<T*>(a.dx) + at, x);
    }
}

struct PoolReduceArgs {
    BatchNormPoolGrad a;
    Columns shape;  // its rows are those of p
    Divisor columns, lines;
    float* partials;
};

/// Whether xhat can be had from p, see the contract.
FER_DEVICE bool recoverable(float gamma, float beta) {
    return fabsf(gamma) > fabsf(beta) * 0.0625f && fabsf(gamma) >= 0x1p-20f;
}

template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads) batch_norm_pool_bwd_reduce_kernel(PoolReduceArgs s) {
    wait_for_previous();
    FER_SHARED(float, shared, [2 * V * kColumnThreads]);
    const BatchNormPoolGrad& a = s.a;
    const ColumnThread t = column_thread(s.shape, V);
    float sums[2 * V] = {};
    if (t.active) {
        const unsigned c = s.shape.c, h = static_cast<unsigned>(a.h), w = static_cast<unsigned>(a.w);
        // xhat = (value - origin) * slope with value p or x
        float origin[V], slope[V];
        unsigned from_x = 0;  // a bit per channel
#pragma unroll
        for (int i = 0; i < V; ++i) {
            const unsigned channel = t.channel + i;
            const bool p_serves = recoverable(a.gamma[channel], a.beta[channel]);
            origin[i] = p_serves ? a.beta[channel] : a.mean[channel];
            slope[i] = p_serves ? 1.0f / a.gamma[channel] : inverse_deviation(a.variance[channel], a.epsilon);
            from_x |= (p_serves ? 0u : 1u) << i;
        }
        for (unsigned row = t.begin; row < t.end; row += t.step) {
            const unsigned at = row * c + t.channel;
            float dp[V], p[V];
            load_floats(dp, static_cast<const T*>(a.dp) + at);
            load_floats(p, static_cast<const T*>(a.p) + at);
            unsigned first = 0;
            if (from_x != 0) {
                unsigned image = row;
                const unsigned column = s.columns.peel(image);
                const unsigned line = s.lines.peel(image);
                first = (image * h + 2 * line) * w + 2 * column;
            }
#pragma unroll
            for (int i = 0; i < V; ++i) {
                float value = p[i];
                if ((from_x >> i & 1) != 0) {
                    const unsigned place = a.argmax[at + i];
                    const unsigned pixel = first + place / 2 * w + place % 2;
                    value = to_float(static_cast<const T*>(a.x)[pixel * c + t.channel + i]);
                }
                const float dz = passes(p[i], a.activation) ? dp[i] : 0.0f;
                sums[i] += dz;
                sums[V + i] = fmaf(dz, (value - origin[i]) * slope[i], sums[V + i]);
            }
        }
    }
    sum_lanes(sums, shared, s.shape.lanes);
    store_partials<V>(sums, s.partials, s.shape, t);
}

struct PoolApplyArgs {
    BatchNormPoolGrad a;
    Columns shape;  // its rows are the windows, those cut off by an odd edge included
    Windows windows;
};

template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads) batch_norm_pool_bwd_apply_kernel(PoolApplyArgs s) {
    wait_for_previous();
    const BatchNormPoolGrad& a = s.a;
    const ColumnThread t = column_thread(s.shape, V);
    if (!t.active) {
        return;
    }
    Normalizer<V> normalize;
    InputGradient<V> gradient;
    normalize.read(a.mean, a.variance, a.gamma, a.beta, t.channel, a.epsilon);
    gradient.read(a.dgamma, a.dbeta, a.variance, t.channel, a.epsilon,
                  static_cast<float>(s.windows.n * s.windows.h * s.windows.w));
    for (unsigned row = t.begin; row < t.end; row += t.step) {
        const WindowPlace window = window_place(s.windows, row);
        float dz[V] = {};
        Vector<std::uint8_t, V> winner{};
        if (window.whole()) {
            const unsigned at = window.pooled * s.shape.c + t.channel;
            float p[V];
            load_floats(dz, static_cast<const T*>(a.dp) + at);
            load_floats(p, static_cast<const T*>(a.p) + at);
            winner = load<V>(a.argmax + at);
#pragma unroll
            for (int i = 0; i < V; ++i) {
                dz[i] = passes(p[i], a.activation) ? dz[i] : 0.0f;
            }
        }
#pragma unroll
        for (int place = 0; place < 4; ++place) {
            if (!window.has(place)) {
                continue;
            }
            const unsigned at = window.pixel(place, s.windows.w) * s.shape.c + t.channel;
            float x[V];
            load_floats(x, static_cast<const T*>(a.x) + at);
#pragma unroll
            for (int i = 0; i < V; ++i) {
                x[i] = gradient(winner[i] == place ? dz[i] : 0.0f, x[i], normalize, i, a.x_is_relu);
            }
            store_floats(static_cast<T*>(a.dx) + at, x);
        }
    }
}

void total(const float* partials, const Columns& shape, float* dgamma, float* dbeta, cudaStream_t stream) {
    launch(batch_norm_bwd_total_kernel, finish_shape(static_cast<int>(shape.c)), stream,
           {partials, dbeta, dgamma, shape.parts, shape.c});
}

}  // namespace

void batch_norm_bwd(const BatchNormGrad& a, cudaStream_t stream) {
    require_indexable(a.rows * a.c);
    if (a.rows == 0 || a.c == 0) {
        return;
    }
    by_float_type(a.dtype, "batch_norm", [&]<class T>(T) {
        constexpr int kV = kVector<T>;
        const bool vectors = a.c % kV == 0 && all_aligned(a.dy, a.x, a.y, a.dx, a.dresidual);
        auto* const partials = static_cast<float*>(a.workspace);
        const Columns parts = plan_columns(a.rows, a.c, vectors ? kV : 1);
        launch(vectors ? batch_norm_bwd_reduce_kernel<T, kV> : batch_norm_bwd_reduce_kernel<T, 1>, parts.launch_shape(),
               stream, {a, parts, partials});
        total(partials, parts, a.dgamma, a.dbeta, stream);
        const Columns all = plan_elementwise(a.rows, a.c, vectors ? kV : 1);
        launch(vectors ? batch_norm_bwd_apply_kernel<T, kV> : batch_norm_bwd_apply_kernel<T, 1>, all.launch_shape(),
               stream, {a, all, partials});
    });
}

void batch_norm_pool_bwd(const BatchNormPoolGrad& a, cudaStream_t stream) {
    require_indexable(std::int64_t{a.n} * a.h * a.w * a.c);
    if (std::int64_t{a.n} * a.h * a.w * a.c == 0) {
        return;
    }
    by_float_type(a.dtype, "batch_norm", [&]<class T>(T) {
        constexpr int kV = kVector<T>;
        const bool vectors = a.c % kV == 0 && all_aligned(a.dp, a.p, a.argmax, a.x, a.dx);
        auto* const partials = static_cast<float*>(a.workspace);
        const Windows windows(a.n, a.h, a.w);
        // An image of one row or column has no window: no parts, and sums of zero.
        const Columns parts = plan_columns(windows.pooled(), a.c, vectors ? kV : 1);
        if (parts.parts > 0) {
            launch(
                vectors ? batch_norm_pool_bwd_reduce_kernel<T, kV> : batch_norm_pool_bwd_reduce_kernel<T, 1>,
                parts.launch_shape(), stream,
                {a, parts, Divisor(static_cast<unsigned>(a.w / 2)), Divisor(static_cast<unsigned>(a.h / 2)), partials});
        }
        total(partials, parts, a.dgamma, a.dbeta, stream);
        const Columns all = plan_elementwise(windows.count(), a.c, vectors ? kV : 1);
        launch(vectors ? batch_norm_pool_bwd_apply_kernel<T, kV> : batch_norm_pool_bwd_apply_kernel<T, 1>,
               all.launch_shape(), stream, {a, all, windows});
    });
}

}  // namespace fer::FER_PORT

// Batch normalization: statistics of the batch and moving statistics.
#include "kernels/batch_norm.hpp"
#include "kernels/columns.cuh"

namespace fer::FER_PORT {
namespace {

struct MomentsArgs {
    const void* x;
    float* partials;  // (parts, 2, c): mean, sum of squares about it
    Columns shape;
};

/// Chan's merge of (n, mean, m2) into the first of two groups. Empty groups have n == 0.
FER_DEVICE void merge_moments(float& n, float& mean, float& m2, float other_n, float other_mean, float other_m2) {
    const float total = n + other_n;
    if (other_n > 0.0f) {
        const float share = other_n / total;
        const float d = other_mean - mean;
        mean = fmaf(d, share, mean);
        m2 += fmaf(d * d, n * share, other_m2);
        n = total;
    }
}

/// sum_lanes() for moments. `count` is what one thread has seen, the same for all its channels.
template <int V>
FER_DEVICE void merge_lanes(float count, float (&mean)[V], float (&m2)[V], float* shared, unsigned lanes) {
    constexpr unsigned kT = kColumnThreads;
    const unsigned rank = threadIdx.x;
    float n[V];
#pragma unroll
    for (int i = 0; i < V; ++i) {
        n[i] = count;
        shared[i * kT + rank] = mean[i];
        shared[(V + i) * kT + rank] = m2[i];
    }
    shared[2 * V * kT + rank] = count;
    for (unsigned half = kT / 2; half >= lanes; half /= 2) {
        __syncthreads();
        if (rank < half) {
            const float other = shared[2 * V * kT + rank + half];
#pragma unroll
            for (int i = 0; i < V; ++i) {
                merge_moments(n[i], mean[i], m2[i], other, shared[i * kT + rank + half],
                              shared[(V + i) * kT + rank + half]);
                shared[i * kT + rank] = mean[i];
                shared[(V + i) * kT + rank] = m2[i];
            }
            shared[2 * V * kT + rank] = n[0];
        }
    }
}

// Welford's update instead of sum and sum of squares: the latter loses the variance where the mean is large. One
// division per row serves all the channels of a thread.
template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads) batch_norm_moments_kernel(MomentsArgs a) {
    wait_for_previous();
    FER_SHARED(float, shared, [(2 * V + 1) * kColumnThreads]);
    const ColumnThread t = column_thread(a.shape, V);
    const T* const x = static_cast<const T*>(a.x);
    float mean[V] = {};
    float m2[V] = {};
    float count = 0.0f;
#pragma unroll 4
    for (unsigned row = t.begin; row < t.end; row += t.step) {
        float v[V];
        load_floats(v, x + row * a.shape.c + t.channel);
        count += 1.0f;
        const float inverse = 1.0f / count;
#pragma unroll
        for (int i = 0; i < V; ++i) {
            const float d = v[i] - mean[i];
            mean[i] = fmaf(d, inverse, mean[i]);
            m2[i] = fmaf(d, v[i] - mean[i], m2[i]);
        }
    }
    merge_lanes(count, mean, m2, shared, a.shape.lanes);
    if (threadIdx.x < a.shape.lanes && t.active) {
        float* const out = a.partials + blockIdx.x * 2 * a.shape.c + t.channel;
#pragma unroll
        for (int i = 0; i < V; ++i) {
            out[i] = mean[i];
            out[a.shape.c + i] = m2[i];
        }
    }
}

struct FinalizeArgs {
    BatchNormFinalize a;
    unsigned rows, rows_per_part, parts;
};

// Two passes over the partials, with the mean of all parts between them: no cancellation, and no division per part.
__global__ void __launch_bounds__(kColumnThreads) batch_norm_finalize_kernel(FinalizeArgs f) {
    wait_for_previous();
    FER_SHARED(double, shared, [64]);
    const BatchNormFinalize& a = f.a;
    const unsigned c = static_cast<unsigned>(a.c);
    const unsigned channel = finish_channel();
    const bool active = channel < c;
    const bool sums = a.moments == Moments::kSums;
    const unsigned parts = active ? f.parts : 0;
    const double whole = f.rows_per_part;
    const double rest = f.rows - (f.parts - 1) * f.rows_per_part;  // rows of the last part
    const double inverse_whole = 1.0 / whole;
    const double inverse_rest = 1.0 / rest;

    double sum = 0;
    for (unsigned p = finish_lane(); p < parts; p += kFinishLanes) {
        const double first = static_cast<double>(a.partials[p * 2 * c + channel]);
        sum += sums ? first : first * (p + 1 == f.parts ? rest : whole);
    }
    const double mean = sum_finish_lanes(sum, shared) / f.rows;

    double squares = 0;
    for (unsigned p = finish_lane(); p < parts; p += kFinishLanes) {
        const bool last = p + 1 == f.parts;
        const double first = static_cast<double>(a.partials[p * 2 * c + channel]);
        const double second = static_cast<double>(a.partials[(p * 2 + 1) * c + channel]);
        const double part_mean = sums ? first * (last ? inverse_rest : inverse_whole) : first;
        const double about_mean = sums ? second - first * part_mean : second;
        squares += about_mean + (last ? rest : whole) * (part_mean - mean) * (part_mean - mean);
    }
    squares = sum_finish_lanes(squares, shared);
    if (active && finish_lane() == 0) {
        squares = squares < 0.0 ? 0.0 : squares;  // kSums only: rounding of a variance near zero
        const double variance = squares / f.rows;
        a.mean[channel] = static_cast<float>(mean);
        a.variance[channel] = static_cast<float>(variance);
        if (a.moving_mean != nullptr) {
            const double moved = a.unbiased && f.rows > 1 ? squares / (f.rows - 1) : variance;
            const double rate = 1.0 - a.momentum;
            a.moving_mean[channel] = static_cast<float>(a.moving_mean[channel] * a.momentum + mean * rate);
            a.moving_variance[channel] = static_cast<float>(a.moving_variance[channel] * a.momentum + moved * rate);
        }
    }
}

}  // namespace

std::size_t batch_norm_workspace(std::int64_t rows, int c) {
    return 2 * sizeof(float) * most_column_parts(rows, c) * static_cast<std::size_t>(c);
}

void batch_norm_finalize(const BatchNormFinalize& a, cudaStream_t stream) {
    if (a.rows == 0 || a.c == 0) {
        return;
    }
    FER_CHECK(a.rows_per_part > 0, "parts must have rows, got {} each", a.rows_per_part);
    const std::int64_t parts = (a.rows + a.rows_per_part - 1) / a.rows_per_part;
    require_indexable(a.rows);
    require_indexable(parts * 2 * a.c);
    const std::int64_t per_part = a.rows_per_part < a.rows ? a.rows_per_part : a.rows;
    launch(batch_norm_finalize_kernel, finish_shape(a.c), stream,
           {a, static_cast<unsigned>(a.rows), static_cast<unsigned>(per_part), static_cast<unsigned>(parts)});
}

void batch_norm_stats(const BatchNormStats& a, cudaStream_t stream) {
    require_indexable(a.rows * a.c);
    if (a.rows == 0 || a.c == 0) {
        return;
    }
    auto* const partials = static_cast<float*>(a.workspace);
    Columns shape{};
    by_float_type(a.dtype, "batch_norm", [&]<class T>(T) {
        constexpr int kV = kVector<T>;
        const bool vectors = a.c % kV == 0 && is_aligned(a.x);
        shape = plan_columns(a.rows, a.c, vectors ? kV : 1);
        launch(vectors ? batch_norm_moments_kernel<T, kV> : batch_norm_moments_kernel<T, 1>, shape.launch_shape(),
               stream, {a.x, partials, shape});
    });
    batch_norm_finalize({.partials = partials,
                         .rows = a.rows,
                         .rows_per_part = shape.rows_per_part,
                         .c = a.c,
                         .mean = a.mean,
                         .variance = a.variance,
                         .moving_mean = a.moving_mean,
                         .moving_variance = a.moving_variance,
                         .momentum = a.momentum,
                         .unbiased = a.unbiased},
                        stream);
}

}  // namespace fer::FER_PORT

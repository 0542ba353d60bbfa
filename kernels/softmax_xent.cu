// Softmax and cross-entropy: a few lanes of a warp share a row.
#include "kernels/softmax_xent.hpp"

#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

constexpr int kThreads = 512;

/// Sums over the Lanes threads that share a row; all of them receive the result.
template <int Lanes>
FER_DEVICE float row_sum(float v) {
    for (int step = Lanes / 2; step > 0; step /= 2) {
        v += __shfl_xor_sync(kFullWarp, v, step);
    }
    return v;
}

struct Peak {
    float value;
    int index;
};

/// The greater of two, the lower index of equals. -1 is the index of nothing.
FER_DEVICE Peak higher(Peak a, Peak b) {
    if (a.index < 0 || b.index < 0) {
        return a.index < 0 ? b : a;
    }
    const bool second = b.value > a.value || (b.value == a.value && b.index < a.index);
    return second ? b : a;
}

/// The largest number of the row; index -1 and value -inf if it has none but NaN.
template <int Lanes, class T>
FER_DEVICE Peak row_peak(const T* x, int classes, int lane) {
    Peak peak{-INFINITY, -1};
    for (int c = lane; c < classes; c += Lanes) {
        const float v = to_float(x[c]);
        if (v == v) {
            peak = higher(peak, {v, c});
        }
    }
    for (int step = Lanes / 2; step > 0; step /= 2) {
        const Peak other{__shfl_xor_sync(kFullWarp, peak.value, step), __shfl_xor_sync(kFullWarp, peak.index, step)};
        peak = higher(peak, other);
    }
    return peak;
}

template <int Lanes, class T>
FER_DEVICE float row_exp_sum(const T* x, float top, int classes, int lane) {
    float sum = 0;
    for (int c = lane; c < classes; c += Lanes) {
        sum += expf(to_float(x[c]) - top);
    }
    return row_sum<Lanes>(sum);
}

FER_DEVICE float number_or_one(const float* p) { return p == nullptr ? 1.0f : *p; }

FER_DEVICE float target(int c, int label, float smoothing, int classes) {
    return (c == label ? 1.0f - smoothing : 0.0f) + smoothing / static_cast<float>(classes);
}

/// The labels of a row and how much each counts. Both kinds of argument name them alike.
struct RowTarget {
    int label, partner;
    float own, other;  // weights; `other` is 0 without mixup
    bool mixed;

    template <class Args>
    FER_DEVICE static RowTarget of(const Args& a, int i) {
        const int label = a.labels[i];
        const float weight = a.weights != nullptr ? a.weights[label] : 1.0f;
        if (a.partners == nullptr) {
            return {label, label, weight, 0.0f, false};
        }
        const int partner = a.partners[i];
        const float share = a.share[i];
        return {label, partner, share * weight, (1.0f - share) * (a.weights != nullptr ? a.weights[partner] : 1.0f),
                true};
    }
    FER_DEVICE float weight() const { return own + other; }
    /// Divided by weight(); the label's where that is 0.
    FER_DEVICE float at(int c, float smoothing, int classes) const {
        const float mine = target(c, label, smoothing, classes);
        if (!mixed || weight() == 0.0f) {
            return mine;
        }
        return (own * mine + other * target(c, partner, smoothing, classes)) / weight();
    }
};

/// Weighted loss of row i. Lanes without a row (i >= n) come along for the shuffles and get 0.
template <int Lanes, class T>
FER_DEVICE float xent_row(const SoftmaxXent& a, int i, int lane) {
    const bool present = i < a.n;
    const int classes = present ? a.classes : 0;
    const int first = present ? i * a.classes : 0;
    const T* const x = static_cast<const T*>(a.x) + first;
    const RowTarget row = present ? RowTarget::of(a, i) : RowTarget{0, 0, 1.0f, 0.0f, false};
    const float weight = row.weight();
    const float scale = weight * number_or_one(a.dloss) * number_or_one(a.loss_scale) / static_cast<float>(a.n);

    const Peak peak = row_peak<Lanes>(x, classes, lane);
    const float sum = row_exp_sum<Lanes>(x, peak.value, classes, lane);
    const float log_sum = logf(sum);
    float loss = 0;
    for (int c = lane; c < classes; c += Lanes) {
        const float below_top = to_float(x[c]) - peak.value;
        const float p = expf(below_top) / sum;
        const float y = row.at(c, a.smoothing, a.classes);
        loss += y == 0.0f ? 0.0f : y * (log_sum - below_top);
        if (a.p != nullptr) {
            a.p[first + c] = p;
        }
        if (a.dx != nullptr) {  // after the last read of x[c]: dx may be x
            static_cast<T*>(a.dx)[first + c] = from_float<T>(scale * (p - y));
        }
    }
    if (present && lane == 0 && a.hits != nullptr) {
        // Compared in order, a NaN in front is never beaten.
        const float front = to_float(x[0]);
        a.hits[i] = (front == front ? peak.index : 0) == row.label ? 1 : 0;
    }
    return present ? row_sum<Lanes>(loss) * weight : row_sum<Lanes>(loss);
}

/// The sum of what the threads of the block hold, divided by n, to *loss.
FER_DEVICE void store_mean(double sum, float* loss, int n) {
    FER_SHARED(double, shared, [kThreads / kWarp]);
    sum = block_sum<kThreads>(sum, shared);
    if (threadIdx.x == 0) {
        *loss = static_cast<float>(sum / n);
    }
}

template <int Lanes, class T>
__global__ void __launch_bounds__(kThreads, 1) softmax_xent_kernel(SoftmaxXent a) {
    wait_for_previous();
    constexpr int kRows = kThreads / Lanes;
    const int lane = static_cast<int>(threadIdx.x) % Lanes;
    double sum = 0;
    for (int first = 0; first < a.n; first += kRows) {
        const float loss = xent_row<Lanes, T>(a, first + static_cast<int>(threadIdx.x) / Lanes, lane);
        sum += lane == 0 ? static_cast<double>(loss) : 0.0;
    }
    store_mean(sum, a.loss, a.n);
}

template <int Lanes, class T>
__global__ void __launch_bounds__(kThreads, 2) softmax_xent_rows_kernel(SoftmaxXent a) {
    wait_for_previous();
    const int i = static_cast<int>(blockIdx.x) * (kThreads / Lanes) + static_cast<int>(threadIdx.x) / Lanes;
    const int lane = static_cast<int>(threadIdx.x) % Lanes;
    const float loss = xent_row<Lanes, T>(a, i, lane);
    if (lane == 0 && i < a.n) {
        static_cast<float*>(a.workspace)[i] = loss;
    }
}

__global__ void __launch_bounds__(kThreads) softmax_xent_mean_kernel(SoftmaxXent a) {
    wait_for_previous();
    double sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < a.n; i += kThreads) {
        sum += static_cast<double>(static_cast<const float*>(a.workspace)[i]);
    }
    store_mean(sum, a.loss, a.n);
}

template <class T>
__global__ void __launch_bounds__(256) softmax_xent_bwd_kernel(SoftmaxXentGrad a) {
    wait_for_previous();
    const auto classes = static_cast<unsigned>(a.classes);
    const unsigned count = static_cast<unsigned>(a.n) * classes;
    const float factor = number_or_one(a.dloss) * number_or_one(a.loss_scale);
    for (unsigned i = grid_thread(); i < count; i += grid_threads()) {
        const RowTarget row = RowTarget::of(a, static_cast<int>(i / classes));
        const float y = row.at(static_cast<int>(i % classes), a.smoothing, a.classes);
        static_cast<T*>(a.dx)[i] = from_float<T>(row.weight() * factor / static_cast<float>(a.n) * (a.p[i] - y));
    }
}

// One warp per row in both.
template <class T>
__global__ void __launch_bounds__(256) softmax_fwd_kernel(Softmax a) {
    wait_for_previous();
    const auto i = static_cast<int>(grid_thread() / kWarp);
    if (i >= a.n) {
        return;  // the whole warp
    }
    const auto lane = static_cast<int>(lane_id());
    const T* const x = static_cast<const T*>(a.x) + i * a.classes;
    const float top = row_peak<32>(x, a.classes, lane).value;
    const float sum = row_exp_sum<32>(x, top, a.classes, lane);
    for (int c = lane; c < a.classes; c += 32) {
        a.p[i * a.classes + c] = expf(to_float(x[c]) - top) / sum;
    }
}

template <class T>
__global__ void __launch_bounds__(256) softmax_bwd_kernel(SoftmaxGrad a) {
    wait_for_previous();
    const auto i = static_cast<int>(grid_thread() / kWarp);
    if (i >= a.n) {
        return;
    }
    const auto lane = static_cast<int>(lane_id());
    const float* const dp = a.dp + i * a.classes;
    const float* const p = a.p + i * a.classes;
    float dot = 0;
    for (int c = lane; c < a.classes; c += 32) {
        dot = fmaf(dp[c], p[c], dot);
    }
    dot = row_sum<32>(dot);
    for (int c = lane; c < a.classes; c += 32) {
        static_cast<T*>(a.dx)[i * a.classes + c] = from_float<T>(p[c] * (dp[c] - dot));
    }
}

constexpr int kOneBlock = 2048;  // rows that one block still takes: 64 of 7 classes at a time, 32 rounds

template <int Lanes, class T>
void launch_xent(const SoftmaxXent& a, cudaStream_t stream) {
    if (a.n <= kOneBlock) {
        launch(softmax_xent_kernel<Lanes, T>, {.grid = dim3(1), .block = dim3(kThreads)}, stream, a);
        return;
    }
    constexpr int kRows = kThreads / Lanes;
    const auto blocks = static_cast<unsigned>((a.n + kRows - 1) / kRows);
    launch(softmax_xent_rows_kernel<Lanes, T>, {.grid = dim3(blocks), .block = dim3(kThreads)}, stream, a);
    launch(softmax_xent_mean_kernel, {.grid = dim3(1), .block = dim3(kThreads)}, stream, a);
}

}  // namespace

std::size_t softmax_xent_workspace(int n) { return n <= kOneBlock ? 0 : sizeof(float) * static_cast<std::size_t>(n); }

void softmax_xent(const SoftmaxXent& a, cudaStream_t stream) {
    require_indexable(std::int64_t{a.n} * a.classes);
    FER_CHECK(a.classes > 0, "softmax needs classes, got {}", a.classes);
    if (a.n == 0) {
        return;
    }
    by_float_type(a.dtype, "softmax_xent",
                  [&]<class T>(T) { a.classes <= 8 ? launch_xent<8, T>(a, stream) : launch_xent<32, T>(a, stream); });
}

void softmax_xent_bwd(const SoftmaxXentGrad& a, cudaStream_t stream) {
    by_float_type(a.dtype, "softmax_xent_grad", [&]<class T>(T) {
        launch(softmax_xent_bwd_kernel<T>, over(std::int64_t{a.n} * a.classes), stream, a);
    });
}

void softmax_fwd(const Softmax& a, cudaStream_t stream) {
    require_indexable(std::int64_t{a.n} * a.classes);
    const Launch shape{.grid = dim3((static_cast<unsigned>(a.n) + 7) / 8), .block = dim3(256)};
    by_float_type(a.dtype, "softmax", [&]<class T>(T) { launch(softmax_fwd_kernel<T>, shape, stream, a); });
}

void softmax_bwd(const SoftmaxGrad& a, cudaStream_t stream) {
    require_indexable(std::int64_t{a.n} * a.classes);
    const Launch shape{.grid = dim3((static_cast<unsigned>(a.n) + 7) / 8), .block = dim3(256)};
    by_float_type(a.dtype, "softmax_grad", [&]<class T>(T) { launch(softmax_bwd_kernel<T>, shape, stream, a); });
}

}  // namespace fer::FER_PORT

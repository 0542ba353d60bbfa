// Optimizers over one flat block. One kernel for all rules: what differs is a function of a few floats.
#include "kernels/optimizer.hpp"

#include "kernels/clock.hpp"
#include "kernels/l2.cuh"

namespace fer::FER_PORT {
namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kPer = 4;                 // elements of a thread: 16 bytes of every array
constexpr unsigned kTile = kThreads * kPer;  // elements of a block at a time
constexpr unsigned kMostBlocks = 132 * 8;    // as many as run at once on 132 multiprocessors

// The roundings are spelt out, so that no compiler fuses two into one: the CPU's bits, and the same ones whether an
// element is updated in a vector or alone. Every rule: prepare() once per block, by one thread; update() per element,
// with up to two moments a and b.

FER_DEVICE std::int64_t updates_so_far(const std::int64_t* clock) { return clock[kStepWord] - clock[kHeldWord]; }

struct AdamRule {
    static constexpr int kMoments = 2;
    double beta1, beta2;
    float rate1, rate2, epsilon;

    FER_DEVICE float prepare(float rate, double t) const {
        return static_cast<float>(static_cast<double>(rate) * sqrt(1.0 - pow(beta2, t)) / (1.0 - pow(beta1, t)));
    }
    FER_DEVICE void update(float alpha, float g, float& w, float& m, float& v) const {
        m = __fadd_rn(m, __fmul_rn(g - m, rate1));
        v = __fadd_rn(v, __fmul_rn(__fsub_rn(__fmul_rn(g, g), v), rate2));
        w = __fsub_rn(w, __fmul_rn(m, alpha) / (sqrtf(v) + epsilon));
    }
};

struct SgdRule {
    static constexpr int kMoments = 0;
    FER_DEVICE float prepare(float rate, double) const { return rate; }
    FER_DEVICE void update(float rate, float g, float& w, float&, float&) const {
        w = __fsub_rn(w, __fmul_rn(rate, g));
    }
};

struct MomentumRule {
    static constexpr int kMoments = 1;
    float momentum;
    bool nesterov;

    FER_DEVICE float prepare(float rate, double) const { return rate; }
    FER_DEVICE void update(float rate, float g, float& w, float& m, float&) const {
        const float d = __fmul_rn(-rate, g);
        m = __fadd_rn(__fmul_rn(momentum, m), d);
        w += nesterov ? __fadd_rn(__fmul_rn(momentum, m), d) : m;
    }
};

struct RmsPropRule {
    static constexpr int kMoments = 1;
    float rho, rest, epsilon;

    FER_DEVICE float step(float rate, float g, float& v) const {
        v = __fadd_rn(__fmul_rn(rho, v), __fmul_rn(__fmul_rn(rest, g), g));
        return __fmul_rn(rate, g) / sqrtf(v + epsilon);
    }
    FER_DEVICE float prepare(float rate, double) const { return rate; }
    FER_DEVICE void update(float rate, float g, float& w, float& v, float&) const {
        w = __fsub_rn(w, step(rate, g, v));
    }
};

struct RmsPropMomentumRule {
    static constexpr int kMoments = 2;
    RmsPropRule plain;
    float momentum;

    FER_DEVICE float prepare(float rate, double) const { return rate; }
    FER_DEVICE void update(float rate, float g, float& w, float& v, float& m) const {
        m = __fadd_rn(__fmul_rn(momentum, m), plain.step(rate, g, v));
        w -= m;
    }
};

template <class Rule>
struct OptimizerArgs {
    FlatBlock block;
    Rule rule;
    float* moments[2];
    unsigned count, per_block;  // per_block: a multiple of kTile
};

/// What the threads of a block share.
struct Prepared {
    float factor;   // of Rule::prepare()
    float unscale;  // 1 / loss scale
};

template <class Rule>
FER_DEVICE Prepared prepare(const OptimizerArgs<Rule>& s) {
    const LossScale* const scale = s.block.scale;
    const std::int64_t skipped = scale == nullptr ? 0 : scale->skipped;
    const auto t = static_cast<double>(updates_so_far(s.block.clock) + 1 - skipped);
    return {s.rule.prepare(__fmul_rn(*s.block.rate, s.block.rate_factor), t),
            scale == nullptr ? 1.0f : 1.0f / scale->scale};
}

/// Elements first .. first + N - 1, which all have the factor `lambda`.
template <int N, class Shadow, class Rule>
FER_DEVICE void update(const OptimizerArgs<Rule>& s, const Prepared& prepared, unsigned first, float lambda) {
    float g[N], w[N], a[N] = {}, b[N] = {};
    load_floats(g, s.block.grads + first);
    load_floats(w, s.block.params + first);
    if constexpr (Rule::kMoments >= 1) {
        load_floats(a, s.moments[0] + first);
    }
    if constexpr (Rule::kMoments >= 2) {
        load_floats(b, s.moments[1] + first);
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
        // A power of two, as the scale is, leaves every bit of the gradient; + 0 * w would turn infinite weights to
        // NaN.
        float gradient = g[i] * prepared.unscale;
        if (lambda != 0.0f) {
            gradient = __fadd_rn(gradient, __fmul_rn(2.0f * lambda, w[i]));
        }
        s.rule.update(prepared.factor, gradient, w[i], a[i], b[i]);
    }
    store_floats(s.block.params + first, w);
    if constexpr (Rule::kMoments >= 1) {
        store_floats(s.moments[0] + first, a);
    }
    if constexpr (Rule::kMoments >= 2) {
        store_floats(s.moments[1] + first, b);
    }
    if (s.block.shadow != nullptr) {
        store_floats(static_cast<Shadow*>(s.block.shadow) + first, w);
    }
}

/// A tile in which the factor may change, or which the block ends.
template <class Shadow, class Rule>
FER_DEVICE void update_one_by_one(const OptimizerArgs<Rule>& s, const Prepared& prepared, unsigned tile) {
    const unsigned end = tile + kTile < s.count ? tile + kTile : s.count;
    for (unsigned i = tile + threadIdx.x; i < end; i += kThreads) {
        update<1, Shadow>(s, prepared, i, l2_stretch(s.block.segments, s.block.segment_count, i).lambda);
    }
}

// A block owns neighbouring tiles, so that it looks the L2 factor up once for as many as its tensor has. kVectors: the
// pointers are aligned.
template <class Rule, class Shadow, bool kVectors>
__global__ void __launch_bounds__(kThreads) optimizer_kernel(OptimizerArgs<Rule> s) {
    wait_for_previous();
    FER_SHARED(Prepared, shared);
    if (s.block.scale != nullptr && s.block.scale->overflow != 0) {
        return;  // every thread of every block
    }
    if (threadIdx.x == 0) {
        shared = prepare(s);
    }
    __syncthreads();
    const Prepared prepared = shared;
    const unsigned begin = blockIdx.x * s.per_block;
    const unsigned end = begin + s.per_block < s.count ? begin + s.per_block : s.count;
    L2Stretch stretch{0.0f, s.block.segments == nullptr ? 0xffffffffu : 0u};
    for (unsigned tile = begin; tile < end; tile += kTile) {
        if (tile >= stretch.until) {
            stretch = l2_stretch(s.block.segments, s.block.segment_count, tile);
        }
        if (!kVectors || tile + kTile > end || tile + kTile > stretch.until) {
            update_one_by_one<Shadow>(s, prepared, tile);
        } else {
            update<kPer, Shadow>(s, prepared, tile + threadIdx.x * kPer, stretch.lambda);
        }
    }
}

template <class Rule>
void launch_optimizer(const FlatBlock& block, const Rule& rule, float* first, float* second, cudaStream_t stream) {
    require_indexable(block.count);
    FER_CHECK(block.shadow == nullptr || block.shadow_dtype == DType::kF16 || block.shadow_dtype == DType::kBF16,
              "a shadow copy is f16 or bf16, not {}", name_of(block.shadow_dtype));
    const auto count = static_cast<unsigned>(block.count);
    const unsigned tiles = (count + kTile - 1) / kTile;
    const unsigned per_block = (tiles + kMostBlocks - 1) / kMostBlocks * kTile;
    const OptimizerArgs<Rule> args{block, rule, {first, second}, count, per_block};
    const bool vectors = is_aligned(block.grads) && is_aligned(block.params) && is_aligned(block.shadow, 8) &&
                         is_aligned(first) && is_aligned(second);
    const Launch shape{.grid = dim3(count == 0 ? 0 : (count + per_block - 1) / per_block), .block = dim3(kThreads)};
    if (block.shadow != nullptr && block.shadow_dtype == DType::kF16) {
        launch(vectors ? optimizer_kernel<Rule, __half, true> : optimizer_kernel<Rule, __half, false>, shape, stream,
               args);
    } else {
        launch(vectors ? optimizer_kernel<Rule, __nv_bfloat16, true> : optimizer_kernel<Rule, __nv_bfloat16, false>,
               shape, stream, args);
    }
}

// Any number of threads may set the flag, all to the same value; atomically, so that it is no race.
__global__ void __launch_bounds__(kThreads) grads_check_kernel(GradsCheck a) {
    wait_for_previous();
    const auto count = static_cast<unsigned>(a.count);
    bool finite = true;
#pragma unroll 4
    for (unsigned i = grid_thread(); i < count; i += grid_threads()) {
        finite &= fabsf(a.grads[i]) < INFINITY;  // false for NaN too
    }
    if (!finite) {
        atomicExch(&a.state->overflow, 1u);
    }
}

__global__ void __launch_bounds__(32) loss_scale_update_kernel(LossScaleUpdate a) {
    wait_for_previous();
    if (threadIdx.x != 0) {
        return;
    }
    LossScale s = *a.state;
    if (s.overflow != 0) {
        s.scale = fmaxf(s.scale * 0.5f, a.least);
        s.good = 0;
        s.skipped += 1;
    } else if (++s.good >= a.interval) {
        s.scale = fminf(s.scale * 2.0f, a.most);
        s.good = 0;
    }
    s.overflow = 0;
    *a.state = s;
}

__global__ void __launch_bounds__(kThreads) ema_kernel(Ema a) {
    wait_for_previous();
    float decay = a.decay;
    if (a.clock != nullptr) {
        const auto t = static_cast<double>(updates_so_far(a.clock));
        decay = fminf(decay, static_cast<float>((1 + t) / (10 + t)));
    }
    const auto count = static_cast<unsigned>(a.count);
    for (unsigned i = grid_thread(); i < count; i += grid_threads()) {
        a.average[i] = __fadd_rn(__fmul_rn(decay, a.average[i]), __fmul_rn(1.0f - decay, a.w[i]));
    }
}

}  // namespace

void adam(const Adam& a, cudaStream_t stream) {
    const AdamRule rule{a.beta1, a.beta2, static_cast<float>(1.0 - a.beta1), static_cast<float>(1.0 - a.beta2),
                        static_cast<float>(a.epsilon)};
    launch_optimizer(a.block, rule, a.m, a.v, stream);
}

void sgd(const Sgd& a, cudaStream_t stream) {
    if (a.m == nullptr) {
        FER_CHECK(a.momentum == 0, "SGD with momentum {} needs its moment", a.momentum);
        return launch_optimizer(a.block, SgdRule{}, nullptr, nullptr, stream);
    }
    launch_optimizer(a.block, MomentumRule{static_cast<float>(a.momentum), a.nesterov}, a.m, nullptr, stream);
}

void rmsprop(const RmsProp& a, cudaStream_t stream) {
    const RmsPropRule plain{static_cast<float>(a.rho), static_cast<float>(1.0 - a.rho), static_cast<float>(a.epsilon)};
    if (a.m == nullptr) {
        FER_CHECK(a.momentum == 0, "RMSprop with momentum {} needs its moment", a.momentum);
        return launch_optimizer(a.block, plain, a.v, nullptr, stream);
    }
    launch_optimizer(a.block, RmsPropMomentumRule{plain, static_cast<float>(a.momentum)}, a.v, a.m, stream);
}

void ema(const Ema& a, cudaStream_t stream) { launch(ema_kernel, over(a.count), stream, a); }

void grads_check(const GradsCheck& a, cudaStream_t stream) { launch(grads_check_kernel, over(a.count), stream, a); }

void loss_scale_update(const LossScaleUpdate& a, cudaStream_t stream) {
    launch(loss_scale_update_kernel, {.grid = dim3(1), .block = dim3(32)}, stream, a);
}

}  // namespace fer::FER_PORT

#include "kernels/separable.hpp"

#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

constexpr unsigned kThreads = 256;
constexpr int kPixels = 64;           // rows of the left operand
constexpr int kOutputs = 64;          // columns of the right operand that are computed together
constexpr int kDepth = 32;            // rows of it that are in flight together
constexpr int kPitch = kOutputs + 8;  // 8 keeps the rows of an ldmatrix, and a column of floats, on distinct banks
constexpr unsigned kBlockShared = 227 << 10;  // bytes per block on sm_90; sm_80 has 163, and the launch says so

/// How the pointwise product is computed.
enum class Units { kHalf, kTf32, kFma };

struct Product {
    Separable a;
    NhwcPlaces places;  // of (n, p, q, channels) in groups of V
    unsigned pixels;    // n * p * q
    int channels;       // c, padded to whole steps of the matrix units
    int pitch;          // of the left operand
    bool vector_point;  // rows of `point` may be copied 16 bytes at a time
    bool pairs;         // y may be written two elements at a time
};

/// Channels of one step of the matrix units.
template <class T>
inline constexpr int kStep = sizeof(T) == 2 ? 16 : 8;
template <class T>
int padded_channels(int c) {
    return (c + kStep<T> - 1) / kStep<T> * kStep<T>;
}
/// One vector more than the channels: rows then start on different banks.
template <class T>
int pitch_of(int c) {
    return padded_channels<T>(c) + kVector<T>;
}
template <class T>
std::int64_t shared_bytes(int c) {
    return (std::int64_t{kPixels} * pitch_of<T>(c) + 2 * kDepth * kPitch) * static_cast<std::int64_t>(sizeof(T));
}

/// Fills the left operand: the depthwise result of kPixels pixels, zeros beyond the last pixel and channel.
template <class T, int V>
FER_DEVICE void depthwise_tile(T* left, const Product& k, unsigned first) {
    const DepthwiseShape& g = k.a.shape;
    const unsigned groups = static_cast<unsigned>(k.channels) / V;
    for (unsigned i = threadIdx.x; i < kPixels * groups; i += kThreads) {
        const unsigned pixel = i / groups;
        const NhwcPlace to = k.places.at(first * groups + i);
        float sum[V] = {};
        const bool valid = first + pixel < k.pixels && to.channel < static_cast<unsigned>(g.c);
        if (valid) {
            const int row0 = static_cast<int>(to.row) * g.stride - g.top;
            const int column0 = static_cast<int>(to.column) * g.stride - g.left;
            const T* x = static_cast<const T*>(k.a.x) + to.n * g.h * g.w * g.c + to.channel;
            const T* w = static_cast<const T*>(k.a.depth) + to.channel;
            for (int r = max(0, -row0); r < min(g.kh, g.h - row0); ++r) {
                for (int s = max(0, -column0); s < min(g.kw, g.w - column0); ++s) {
                    float value[V];
                    float weight[V];
                    load_floats(value, x + ((row0 + r) * g.w + column0 + s) * g.c);
                    load_floats(weight, w + (r * g.kw + s) * g.c);
#pragma unroll
                    for (int v = 0; v < V; ++v) {
                        sum[v] = fmaf(value[v], weight[v], sum[v]);
                    }
                }
            }
            if (k.a.middle != nullptr) {
                store_floats(static_cast<T*>(k.a.middle) + (first + pixel) * g.c + to.channel, sum);
            }
        }
        store_floats(left + pixel * k.pitch + to.channel, sum);
    }
}

/// Copies rows row0 .. row0 + kDepth - 1 of kOutputs columns of `point`, zeros beyond its edges.
template <class T>
FER_DEVICE void load_right(T* right, const Product& k, int row0, int column0) {
    const T* point = static_cast<const T*>(k.a.point);
    if (k.vector_point) {
        constexpr int kPieces = kOutputs / kVector<T>;
        for (int i = static_cast<int>(threadIdx.x); i < kDepth * kPieces; i += kThreads) {
            const int row = row0 + i / kPieces;
            const int column = column0 + i % kPieces * kVector<T>;
            const bool valid = row < k.a.shape.c && column < k.a.k;
            cp_async<16>(right + i / kPieces * kPitch + i % kPieces * kVector<T>,
                         valid ? point + row * k.a.k + column : point, valid);
        }
    } else {
        for (int i = static_cast<int>(threadIdx.x); i < kDepth * kOutputs; i += kThreads) {
            const int row = row0 + i / kOutputs;
            const int column = column0 + i % kOutputs;
            const bool valid = row < k.a.shape.c && column < k.a.k;
            right[i / kOutputs * kPitch + i % kOutputs] = valid ? point[row * k.a.k + column] : from_float<T>(0.0f);
        }
    }
    cp_async_commit();
}

/// A warp's share: 16 pixels by 32 outputs, as four fragments of 16x8 (matrix.hpp has the places of their elements).
using Share = float[4][4];

/// sum += left(16, depth) * right(depth, 32), with `left` and `right` at the warp's first row and column.
template <class T, Units kUnits>
FER_DEVICE void multiply(Share& sum, const T* left, int pitch, const T* right, int depth) {
    const int lane = static_cast<int>(lane_id());
    const int g = lane / 4;
    const int t = lane % 4;
    for (int step = 0; step < depth; step += kStep<T>) {
        if constexpr (kUnits == Units::kHalf) {
            std::uint32_t a[4];
            ldmatrix_x4(a, left + lane % 16 * pitch + step + lane / 16 * 8);
#pragma unroll
            for (int pair = 0; pair < 2; ++pair) {
                std::uint32_t b[4];
                ldmatrix_x4_trans(b, right + (step + lane % 16) * kPitch + pair * 16 + lane / 16 * 8);
                mma_m16n8k16<T>(sum[2 * pair], a, {b[0], b[1]});
                mma_m16n8k16<T>(sum[2 * pair + 1], a, {b[2], b[3]});
            }
        } else if constexpr (kUnits == Units::kTf32) {
            const T* row = left + g * pitch + step + t;
            const std::uint32_t a[4] = {to_tf32(row[0]), to_tf32(row[8 * pitch]), to_tf32(row[4]),
                                        to_tf32(row[8 * pitch + 4])};
#pragma unroll
            for (int tile = 0; tile < 4; ++tile) {
                const T* column = right + (step + t) * kPitch + tile * 8 + g;
                const std::uint32_t b[2] = {to_tf32(column[0]), to_tf32(column[4 * kPitch])};
                mma_m16n8k8_tf32(sum[tile], a, b);
            }
        } else {
#pragma unroll
            for (int i = 0; i < kStep<T>; ++i) {
                const float upper = left[g * pitch + step + i];
                const float lower = left[(g + 8) * pitch + step + i];
#pragma unroll
                for (int tile = 0; tile < 4; ++tile) {
                    float b[2];
                    load_floats(b, right + (step + i) * kPitch + tile * 8 + 2 * t);
                    sum[tile][0] = fmaf(upper, b[0], sum[tile][0]);
                    sum[tile][1] = fmaf(upper, b[1], sum[tile][1]);
                    sum[tile][2] = fmaf(lower, b[0], sum[tile][2]);
                    sum[tile][3] = fmaf(lower, b[1], sum[tile][3]);
                }
            }
        }
    }
}

/// Bias, activation and the way out, from output column `column0` of the warp on; leaves the sums at zero.
template <class T>
FER_DEVICE void finish(Share& sum, const Product& k, unsigned pixel0, int column0) {
    const unsigned g = lane_id() / 4;
    const int t = static_cast<int>(lane_id() % 4);
#pragma unroll
    for (int tile = 0; tile < 4; ++tile) {
        const int column = column0 + tile * 8 + 2 * t;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const unsigned pixel = pixel0 + g + 8 * half;
            float out[2];
#pragma unroll
            for (int v = 0; v < 2; ++v) {
                const float bias = k.a.bias != nullptr && column + v < k.a.k ? k.a.bias[column + v] : 0.0f;
                out[v] = activate(sum[tile][2 * half + v] + bias, k.a.activation);
                sum[tile][2 * half + v] = 0.0f;
            }
            if (pixel < k.pixels && column < k.a.k) {
                T* y = static_cast<T*>(k.a.y) + pixel * static_cast<unsigned>(k.a.k) + column;
                k.pairs ? store_floats(y, out) : store_floats(y, out, k.a.k - column);
            }
        }
    }
}

/// A block computes all outputs of kPixels pixels. The right operand passes through two stages of shared memory: one is
/// filled while the other is multiplied. V channels per thread in the depthwise part.
template <class T, int V, Units kUnits>
__global__ void __launch_bounds__(kThreads) separable_fwd_kernel(Product k) {
    wait_for_previous();
    FER_DYNAMIC_SHARED(T, memory);
    T* left = memory;                       // (kPixels, pitch)
    T* right = memory + kPixels * k.pitch;  // 2 x (kDepth, kPitch)
    const unsigned first = blockIdx.x * kPixels;
    const int row = static_cast<int>(warp_id() % 4) * 16;
    const int column = static_cast<int>(warp_id() / 4) * 32;
    const int steps = (k.channels + kDepth - 1) / kDepth;
    const int total = (k.a.k + kOutputs - 1) / kOutputs * steps;

    load_right(right, k, 0, 0);
    depthwise_tile<T, V>(left, k, first);
    Share sum = {};
    for (int i = 0; i < total; ++i) {
        if (i + 1 < total) {
            load_right(right + (i + 1) % 2 * kDepth * kPitch, k, (i + 1) % steps * kDepth, (i + 1) / steps * kOutputs);
            cp_async_wait<1>();
        } else {
            cp_async_wait<0>();
        }
        __syncthreads();
        const int depth0 = i % steps * kDepth;
        multiply<T, kUnits>(sum, left + row * k.pitch + depth0, k.pitch, right + i % 2 * kDepth * kPitch + column,
                            min(kDepth, k.channels - depth0));
        __syncthreads();  // before the stage is filled again
        if (i % steps == steps - 1) {
            finish<T>(sum, k, first + row, i / steps * kOutputs + column);
        }
    }
}

template <class T, Units kUnits>
void launch_separable(const Separable& a, cudaStream_t stream) {
    const DepthwiseShape& g = a.shape;
    const bool vector = g.c % kVector<T> == 0 && is_aligned(a.x) && is_aligned(a.depth) && is_aligned(a.middle);
    const int channels = padded_channels<T>(g.c);
    const int group = vector ? kVector<T> : 1;
    const std::int64_t pixels = std::int64_t{g.n} * g.p * g.q;
    require_indexable((pixels + kPixels) * channels);
    const Product k{.a = a,
                    .places = NhwcPlaces(g.p, g.q, channels, group),
                    .pixels = static_cast<unsigned>(pixels),
                    .channels = channels,
                    .pitch = pitch_of<T>(g.c),
                    .vector_point = a.k % kVector<T> == 0 && is_aligned(a.point),
                    .pairs = a.k % 2 == 0 && is_aligned(a.y, 2 * sizeof(T))};
    const Launch shape{.grid = dim3(a.k > 0 ? static_cast<unsigned>((pixels + kPixels - 1) / kPixels) : 0),
                       .block = dim3(kThreads),
                       .dynamic_shared = static_cast<unsigned>(shared_bytes<T>(g.c))};
    launch(vector ? separable_fwd_kernel<T, kVector<T>, kUnits> : separable_fwd_kernel<T, 1, kUnits>, shape, stream, k);
}

}  // namespace

const char* separable_refusal(const Separable& a) {
    const std::int64_t bytes = size_of(a.dtype) == 2 ? shared_bytes<__half>(a.shape.c) : shared_bytes<float>(a.shape.c);
    return bytes > kBlockShared ? "64 pixels of this many channels do not fit shared memory" : nullptr;
}

void separable_fwd(const Separable& a, cudaStream_t stream) {
    const DepthwiseShape& g = a.shape;
    FER_CHECK(g.kh >= 1 && g.kw >= 1 && g.stride >= 1 && g.c >= 1, "separable by {}x{} moving by {} on {} channels",
              g.kh, g.kw, g.stride, g.c);
    const char* refusal = separable_refusal(a);
    FER_CHECK(refusal == nullptr, "separable: {}, got {}", refusal, g.c);
    require_indexable(std::int64_t{g.n} * g.h * g.w * g.c);
    require_indexable(std::int64_t{g.n} * g.p * g.q * a.k);
    by_float_type(a.dtype, "separable", [&]<class T>(T) {
        if constexpr (sizeof(T) == 2) {
            launch_separable<T, Units::kHalf>(a, stream);
        } else {
            a.tf32 ? launch_separable<T, Units::kTf32>(a, stream) : launch_separable<T, Units::kFma>(a, stream);
        }
    });
}

}  // namespace fer::FER_PORT

// Convolution 3x3 forward in bf16, from plain to kernels/conv2d_fwd.cu. Predicted for 64x24x24x128 by 3x3x256 without
// padding: 18.3 GFLOP and 25.9 MB, on an H200 18 us of tensor cores or 6 us of memory. x by w is a product of
// (n*p*q, 9c) by (9c, k); an element of either is used hundreds of times, and the rungs differ in where it waits.
//
//     rung          change                                             predicted, us
//     1 plain       one output per thread: two loads per product        2200, a load per clock and multiprocessor
//     2 registers   4 pixels by 8 channels per thread: 5 loads for      450, multiply-adds and conversions
//                   32 products
//     3 shared      a block of 64 x 64 outputs reads 32 of the sum       450: 12 shared reads for 32 products; but an
//                   into shared memory at a time                        element leaves L2 once for 64 products
//     4 tensor      the same tiles by ldmatrix and mma.sync              80, the wait for every tile in full view
//     5 pipeline    4 tiles under way by cp.async while one is          60, 64 bytes per clock from L2
//                   multiplied
//     6 shipped     128 x 128 outputs: half the bytes from L2; pixel    35, what mma.sync reaches of wgmma's rate
//                   windows worked out once; splits of long sums
//
// Not measured yet. What the shipped kernel leaves: wgmma and the bulk copy engine, which the emulator has no model of.
#include "bench/ladder/ladder.hpp"
#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

using T = __nv_bfloat16;

struct Product {
    Conv2dShape s;
    const T* x;
    const T* w;
    T* y;
    Divisor columns, rows;  // of y
    unsigned pixels;
};

Product product_of(const Conv2d& a) {
    const Conv2dShape& s = a.shape;
    require_indexable(std::int64_t{s.n} * s.h * s.w * s.c);
    require_indexable(std::int64_t{s.n} * s.p * s.q * s.k);
    return {s,
            static_cast<const T*>(a.x),
            static_cast<const T*>(a.w),
            static_cast<T*>(a.y),
            Divisor(static_cast<unsigned>(s.q)),
            Divisor(static_cast<unsigned>(s.p)),
            static_cast<unsigned>(s.n * s.p * s.q)};
}

/// The channels of x under kernel place (r, s) of an output pixel; null in the padding and past the last pixel.
FER_DEVICE const T* under(const Product& k, unsigned pixel, int r, int s) {
    if (pixel >= k.pixels) {
        return nullptr;
    }
    unsigned n = pixel;
    const int column = static_cast<int>(k.columns.peel(n)) + s - k.s.left;
    const int row = static_cast<int>(k.rows.peel(n)) + r - k.s.top;
    const bool inside = row >= 0 && row < k.s.h && column >= 0 && column < k.s.w;
    return inside ? k.x + ((n * k.s.h + row) * k.s.w + column) * k.s.c : nullptr;
}

// 1: one output per thread -----------------------------------------------------------------------------------------

__global__ void plain_kernel(Product k) {
    const auto outputs = static_cast<unsigned>(k.s.k);
    for (unsigned i = grid_thread(); i < k.pixels * outputs; i += grid_threads()) {
        const unsigned output = i % outputs;
        float sum = 0;
        for (int tap = 0; tap < 9; ++tap) {
            const T* x = under(k, i / outputs, tap / 3, tap % 3);
            const T* w = k.w + static_cast<unsigned>(tap * k.s.c) * outputs + output;
            for (int c = 0; x != nullptr && c < k.s.c; ++c) {
                sum = fmaf(to_float(x[c]), to_float(w[static_cast<unsigned>(c) * outputs]), sum);
            }
        }
        k.y[i] = from_float<T>(sum);
    }
}

void run_plain(const Conv2d& a, cudaStream_t stream) {
    const Product k = product_of(a);
    launch(plain_kernel, over(std::int64_t{k.pixels} * k.s.k), stream, k);
}

// 2: a small tile in registers -------------------------------------------------------------------------------------

constexpr int kPixels = 4;
constexpr int kOutputs = 8;

__global__ void registers_kernel(Product k) {
    const auto groups = static_cast<unsigned>(k.s.k / kOutputs);
    const unsigned count = (k.pixels + kPixels - 1) / kPixels * groups;
    for (unsigned i = grid_thread(); i < count; i += grid_threads()) {
        const unsigned first = i / groups * kPixels;
        const unsigned output = i % groups * kOutputs;
        float sum[kPixels][kOutputs] = {};
        for (int tap = 0; tap < 9; ++tap) {
            const T* x[kPixels];
#pragma unroll
            for (int p = 0; p < kPixels; ++p) {
                x[p] = under(k, first + static_cast<unsigned>(p), tap / 3, tap % 3);
            }
            const T* w = k.w + static_cast<unsigned>(tap * k.s.c * k.s.k) + output;
            for (int c = 0; c < k.s.c; ++c, w += k.s.k) {
                float weights[kOutputs];
                load_floats(weights, w);
#pragma unroll
                for (int p = 0; p < kPixels; ++p) {
                    const float value = x[p] != nullptr ? to_float(x[p][c]) : 0.0f;
#pragma unroll
                    for (int o = 0; o < kOutputs; ++o) {
                        sum[p][o] = fmaf(value, weights[o], sum[p][o]);
                    }
                }
            }
        }
#pragma unroll
        for (int p = 0; p < kPixels; ++p) {
            if (first + static_cast<unsigned>(p) < k.pixels) {
                store_floats(k.y + (first + static_cast<unsigned>(p)) * static_cast<unsigned>(k.s.k) + output, sum[p]);
            }
        }
    }
}

void run_registers(const Conv2d& a, cudaStream_t stream) {
    const Product k = product_of(a);
    launch(registers_kernel, over(std::int64_t{k.pixels + kPixels - 1} / kPixels * (k.s.k / kOutputs)), stream, k);
}

// 3, 4, 5: a block's tile in shared memory ---------------------------------------------------------------------------

constexpr int kThreads = 128;  // 4 warps of 32 x 32 outputs
constexpr unsigned kRows = 64;
constexpr unsigned kColumns = 64;
constexpr unsigned kDepth = 32;             // of the sum: channels of one kernel place
constexpr unsigned kPitchX = kDepth + 8;    // 16 bytes more put the 8 rows of an ldmatrix into different banks
constexpr unsigned kPitchW = kColumns + 8;  //
constexpr unsigned kStage = kRows * kPitchX + kDepth * kPitchW;

/// Step `step` of the sum on its way to shared memory: 2 pieces of x and 2 of w per thread.
FER_DEVICE void fetch(const Product& k, T* stage, unsigned step, unsigned first_row, unsigned first_column) {
    const unsigned chunks = static_cast<unsigned>(k.s.c) / kDepth;
    const auto tap = static_cast<int>(step / chunks);
    const unsigned channel = step % chunks * kDepth;
    T* const w = stage + kRows * kPitchX;
    for (unsigned i = threadIdx.x; i < kRows * kDepth / 8; i += kThreads) {
        const unsigned row = i / (kDepth / 8);
        const unsigned piece = i % (kDepth / 8) * 8;
        const T* from = under(k, first_row + row, tap / 3, tap % 3);
        cp_async<16>(stage + row * kPitchX + piece, from != nullptr ? from + channel + piece : k.x, from != nullptr);
    }
    for (unsigned i = threadIdx.x; i < kDepth * kColumns / 8; i += kThreads) {
        const unsigned row = i / (kColumns / 8);
        const unsigned piece = i % (kColumns / 8) * 8;
        const unsigned at = static_cast<unsigned>(tap * k.s.c) + channel + row;
        cp_async<16>(w + row * kPitchW + piece, k.w + at * static_cast<unsigned>(k.s.k) + first_column + piece);
    }
}

/// acc[i][j][0..3] of lane 4g + t: rows 16i + g and 16i + g + 8, columns 8j + 2t and 8j + 2t + 1 of the warp's part.
using Share = float[2][4][4];

FER_DEVICE unsigned warp_row() { return warp_id() % 2 * 32; }
FER_DEVICE unsigned warp_column() { return warp_id() / 2 * 32; }

FER_DEVICE void multiply_plain(Share& acc, const T* x, const T* w) {
    const T* a = x + (warp_row() + lane_id() / 4) * kPitchX;
    const T* b = w + warp_column() + lane_id() % 4 * 2;
    for (unsigned k = 0; k < kDepth; ++k) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    acc[i][j][e] = fmaf(to_float(a[(16 * i + 8 * (e / 2)) * kPitchX + k]),
                                        to_float(b[k * kPitchW + 8 * j + e % 2]), acc[i][j][e]);
                }
            }
        }
    }
}

FER_DEVICE void multiply_tensor(Share& acc, const T* x, const T* w) {
    const unsigned lane = lane_id();
#pragma unroll
    for (unsigned k = 0; k < kDepth; k += 16) {
        std::uint32_t a[2][4];
        std::uint32_t b[4][4];  // two fragments in each of the first two
#pragma unroll
        for (unsigned i = 0; i < 2; ++i) {
            ldmatrix_x4(a[i], x + (warp_row() + 16 * i + lane % 16) * kPitchX + k + lane / 16 * 8);
            ldmatrix_x4_trans(b[i], w + (k + lane % 16) * kPitchW + warp_column() + 16 * i + lane / 16 * 8);
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const std::uint32_t fragment[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                mma_m16n8k16<T>(acc[i][j], a[i], fragment);
            }
        }
    }
}

FER_DEVICE void store_share(const Product& k, const Share& acc, unsigned first_row, unsigned first_column) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const unsigned row = first_row + warp_row() + static_cast<unsigned>(16 * i + 8 * half) + lane_id() / 4;
                const unsigned column = first_column + warp_column() + static_cast<unsigned>(8 * j) + lane_id() % 4 * 2;
                if (row < k.pixels) {
                    const float pair[2] = {acc[i][j][2 * half], acc[i][j][2 * half + 1]};
                    store_floats(k.y + row * static_cast<unsigned>(k.s.k) + column, pair);
                }
            }
        }
    }
}

template <bool kTensor, int kStages>
__global__ void __launch_bounds__(kThreads) tile_kernel(Product k) {
    using Piece = Vector<T, 8>;  // aligned to 16 bytes
    FER_SHARED(Piece, storage, [kStages * kStage / 8]);
    T* const stages = reinterpret_cast<T*>(storage);
    const unsigned tiles = static_cast<unsigned>(k.s.k) / kColumns;
    const unsigned first_row = blockIdx.x / tiles * kRows;
    const unsigned first_column = blockIdx.x % tiles * kColumns;
    const unsigned steps = 9 * static_cast<unsigned>(k.s.c) / kDepth;
    const auto issue = [&](unsigned step) {
        if (step < steps) {
            fetch(k, stages + step % kStages * kStage, step, first_row, first_column);
        }
        cp_async_commit();
    };

    Share acc = {};
    for (unsigned step = 0; step + 1 < kStages; ++step) {
        issue(step);
    }
    for (unsigned step = 0; step < steps; ++step) {
        if constexpr (kStages == 1) {
            __syncthreads();  // all have done with the tile before
            issue(step);
            cp_async_wait<0>();
            __syncthreads();
        } else {
            cp_async_wait<kStages - 2>();
            __syncthreads();
            issue(step + kStages - 1);
        }
        const T* const x = stages + step % kStages * kStage;
        if constexpr (kTensor) {
            multiply_tensor(acc, x, x + kRows * kPitchX);
        } else {
            multiply_plain(acc, x, x + kRows * kPitchX);
        }
    }
    store_share(k, acc, first_row, first_column);
}

template <bool kTensor, int kStages>
void run_tile(const Conv2d& a, cudaStream_t stream) {
    const Product k = product_of(a);
    const unsigned blocks = (k.pixels + kRows - 1) / kRows * (static_cast<unsigned>(k.s.k) / kColumns);
    launch(tile_kernel<kTensor, kStages>, {.grid = dim3(blocks), .block = dim3(kThreads)}, stream, k);
}

constexpr Rung<Conv2d> kRungs[] = {
    {"1_plain", run_plain},          {"2_registers", run_registers},    {"3_shared", run_tile<false, 1>},
    {"4_tensor", run_tile<true, 1>}, {"5_pipeline", run_tile<true, 4>}, {"6_shipped", conv2d_fwd},
};

}  // namespace

std::span<const Rung<Conv2d>> convolution_ladder() { return kRungs; }

}  // namespace fer::FER_PORT

// One small kernel per group of primitives, each writing everything that its test compares.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

/// The results of one warp, 32 per operation, in the order of the kernel.
struct WarpOperations {
    const unsigned* x;  // (32)
    unsigned* out;      // (kWarpResults, 32)
};
inline constexpr int kWarpResults = 32;
void warp_operations(const WarpOperations& a, cudaStream_t stream);

/// c (16, 8) += a (16, k) * b (k, 8), one warp, by mma with fragments filled element by element. k is 16; 8 for tf32.
struct WarpProduct {
    const float* a;
    const float* b;
    float* c;
    DType type;  // kF16, kBF16, or kF32 for tf32
};
void warp_product(const WarpProduct& a, cudaStream_t stream);

/// out[variant][lane][i]: what ldmatrix x4, x2, x4_trans, x2_trans give for four 8x8 matrices, 64 elements each.
struct LoadMatrix {
    const std::uint16_t* x;  // (4, 8, 8)
    std::uint32_t* out;      // (4, 32, 4)
};
void load_matrix(const LoadMatrix& a, cudaStream_t stream);

/// bits[i] = to_tf32(x[i]).
struct RoundTf32 {
    const float* x;
    std::uint32_t* bits;
    int n;
};
void round_tf32(const RoundTf32& a, cudaStream_t stream);

/// y[i] = i < valid ? x[i] : 0 for i < 64 * bytes / 4, through cp_async of 4, 8 or 16 bytes.
struct CopyAsync {
    const float* x;
    float* y;
    int valid;  // a multiple of bytes / 4
    int bytes;
};
void copy_async(const CopyAsync& a, cudaStream_t stream);

/// sum[b], largest[b] over each block's 128 elements, by block_sum and block_max; then all of them by the last block.
struct Reduce {
    const float* x;  // (blocks, 128)
    float* sum;      // (blocks)
    float* largest;  // (blocks)
    float* total;    // (1)
    unsigned* counter;
    int blocks;
};
void reduce(const Reduce& a, cudaStream_t stream);

/// y[i] = from_float<T>(x[i]), back in z; in vectors of kVector<T>.
struct RoundTrip {
    const float* x;
    void* y;
    float* z;
    int n;  // a multiple of 8
    DType type;
};
void round_trip(const RoundTrip& a, cudaStream_t stream);

/// Every atomic operation, by 256 threads on one place each: value i is i.
struct Atomics {
    int* ints;                  // (4): add, max, min, or
    unsigned* unsigneds;        // (4): add, max, min, compare-and-swap by 1
    unsigned long long* wides;  // (1): add
    float* floats;              // (1): add, small integers
    double* doubles;            // (1)
};
void atomics(const Atomics& a, cudaStream_t stream);

/// x[i] = i, under any launch shape; the test of launch() itself.
struct Iota {
    unsigned* x;
    unsigned n;
    unsigned dynamic_shared;  // bytes; the last of them is written and read
};
void iota(const Iota& a, unsigned block, cudaStream_t stream);

}  // namespace fer::FER_PORT

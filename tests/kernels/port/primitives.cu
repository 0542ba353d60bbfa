#include "tests/kernels/port/primitives.hpp"

#include "kernels/port/port.hpp"

namespace fer::FER_PORT {

namespace {

__global__ void warp_operations_kernel(WarpOperations a) {
    const unsigned lane = lane_id();
    const unsigned x = a.x[lane];
    const int signed_x = static_cast<int>(x);
    const int odd = static_cast<int>(x & 1);
    const unsigned high_half = 0xffff0000u;
    const unsigned results[kWarpResults] = {
        __shfl_sync(kFullWarp, x, 5),
        __shfl_sync(kFullWarp, x, 3, 8),
        __shfl_sync(kFullWarp, x, static_cast<int>(lane * 7), 32),
        __shfl_up_sync(kFullWarp, x, 3),
        __shfl_up_sync(kFullWarp, x, 3, 16),
        __shfl_down_sync(kFullWarp, x, 5),
        __shfl_down_sync(kFullWarp, x, 2, 4),
        __shfl_xor_sync(kFullWarp, x, 1),
        __shfl_xor_sync(kFullWarp, x, 16),
        __shfl_xor_sync(kFullWarp, x, 8, 8),
        __ballot_sync(kFullWarp, odd),
        static_cast<unsigned>(__any_sync(kFullWarp, odd)),
        static_cast<unsigned>(__all_sync(kFullWarp, odd)),
        __reduce_add_sync(kFullWarp, x),
        __reduce_min_sync(kFullWarp, x),
        __reduce_max_sync(kFullWarp, x),
        __reduce_and_sync(kFullWarp, x),
        __reduce_or_sync(kFullWarp, x),
        __reduce_xor_sync(kFullWarp, x),
        static_cast<unsigned>(__reduce_add_sync(kFullWarp, signed_x)),
        static_cast<unsigned>(__reduce_min_sync(kFullWarp, signed_x)),
        static_cast<unsigned>(__reduce_max_sync(kFullWarp, signed_x)),
        lane < 16 ? __reduce_add_sync(~high_half, x) : __reduce_add_sync(high_half, x),
        lane < 16 ? __ballot_sync(~high_half, odd) : __ballot_sync(high_half, odd),
        warp_sum(x),
        static_cast<unsigned>(warp_max(signed_x)),
        static_cast<unsigned>(__popc(x)),
        static_cast<unsigned>(__ffs(signed_x)),
        static_cast<unsigned>(__clz(signed_x)),
        __brev(x),
        __umulhi(x, 0x9e3779b9u),
        __float_as_uint(__uint_as_float(x & 0x3fffffffu)),
    };
    for (unsigned i = 0; i < kWarpResults; ++i) {
        a.out[i * kWarp + lane] = results[i];
    }
}

template <class T>
__global__ void warp_product_kernel(WarpProduct a) {
    const unsigned g = lane_id() / 4;
    const unsigned t = lane_id() % 4 * 2;
    const auto left = [&](unsigned row, unsigned k) {
        return pack2(from_float<T>(a.a[row * 16 + k]), from_float<T>(a.a[row * 16 + k + 1]));
    };
    const auto right = [&](unsigned k, unsigned col) {
        return pack2(from_float<T>(a.b[k * 8 + col]), from_float<T>(a.b[(k + 1) * 8 + col]));
    };
    const std::uint32_t fa[4] = {left(g, t), left(g + 8, t), left(g, t + 8), left(g + 8, t + 8)};
    const std::uint32_t fb[2] = {right(t, g), right(t + 8, g)};
    float d[4] = {a.c[g * 8 + t], a.c[g * 8 + t + 1], a.c[(g + 8) * 8 + t], a.c[(g + 8) * 8 + t + 1]};
    mma_m16n8k16<T>(d, fa, fb);
    a.c[g * 8 + t] = d[0];
    a.c[g * 8 + t + 1] = d[1];
    a.c[(g + 8) * 8 + t] = d[2];
    a.c[(g + 8) * 8 + t + 1] = d[3];
}

__global__ void warp_product_tf32_kernel(WarpProduct a) {
    const unsigned g = lane_id() / 4;
    const unsigned t = lane_id() % 4;
    const auto left = [&](unsigned row, unsigned k) { return to_tf32(a.a[row * 8 + k]); };
    const auto right = [&](unsigned k, unsigned col) { return to_tf32(a.b[k * 8 + col]); };
    const std::uint32_t fa[4] = {left(g, t), left(g + 8, t), left(g, t + 4), left(g + 8, t + 4)};
    const std::uint32_t fb[2] = {right(t, g), right(t + 4, g)};
    float d[4];
    for (unsigned i = 0; i < 4; ++i) {
        d[i] = a.c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
    }
    mma_m16n8k8_tf32(d, fa, fb);
    for (unsigned i = 0; i < 4; ++i) {
        a.c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
    }
}

__global__ void load_matrix_kernel(LoadMatrix a) {
    using Row = Vector<std::uint16_t, 8>;  // the macro takes no comma
    FER_SHARED(Row, rows, [32]);
    const unsigned lane = lane_id();
    rows[lane] = load<8>(a.x + 8 * lane);
    __syncthreads();
    std::uint32_t four[4] = {};
    std::uint32_t two[2] = {};
    const auto write = [&](unsigned variant, const std::uint32_t* r, unsigned count) {
        for (unsigned i = 0; i < 4; ++i) {
            a.out[(variant * 32 + lane) * 4 + i] = i < count ? r[i] : 0u;
        }
    };
    ldmatrix_x4(four, &rows[lane]);
    write(0, four, 4);
    ldmatrix_x2(two, &rows[lane % 16]);
    write(1, two, 2);
    ldmatrix_x4_trans(four, &rows[lane]);
    write(2, four, 4);
    ldmatrix_x2_trans(two, &rows[lane % 16]);
    write(3, two, 2);
}

__global__ void round_tf32_kernel(RoundTf32 a) {
    for (unsigned i = grid_thread(); i < static_cast<unsigned>(a.n); i += grid_threads()) {
        a.bits[i] = to_tf32(a.x[i]);
    }
}

template <int Bytes>
__global__ void copy_async_kernel(CopyAsync a) {
    constexpr unsigned kFloats = Bytes / 4;
    using Quad = Vector<float, 4>;
    FER_SHARED(Quad, stage, [64]);
    float* const mine = &stage[0][0] + threadIdx.x * kFloats;
    const unsigned first = threadIdx.x * kFloats;
    const bool valid = first < static_cast<unsigned>(a.valid);
    cp_async<Bytes>(mine, a.x + (valid ? first : 0), valid);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    for (unsigned i = threadIdx.x; i < 64 * kFloats; i += 64) {
        a.y[i] = (&stage[0][0])[i];
    }
}

constexpr int kReduceThreads = 128;

__global__ void __launch_bounds__(kReduceThreads) reduce_kernel(Reduce a) {
    FER_SHARED(float, shared, [kReduceThreads / kWarp]);
    const float x = a.x[grid_thread()];
    const float sum = block_sum<kReduceThreads>(x, shared);
    const float largest = block_max<kReduceThreads>(x, shared);
    if (threadIdx.x == 0) {
        a.sum[blockIdx.x] = sum;
        a.largest[blockIdx.x] = largest;
    }
    if (last_block_ticket(a.counter)) {
        float total = 0;
        for (int b = static_cast<int>(threadIdx.x); b < a.blocks; b += kReduceThreads) {
            total += a.sum[b];
        }
        total = block_sum<kReduceThreads>(total, shared);
        if (threadIdx.x == 0) {
            a.total[0] = total;
        }
    }
}

template <class T>
__global__ void round_trip_kernel(RoundTrip a) {
    constexpr int kN = kVector<T>;
    T* const y = static_cast<T*>(a.y);
    const unsigned i = grid_thread() * kN;
    if (i >= static_cast<unsigned>(a.n)) {
        return;
    }
    Vector<T, kN> v;
    for (int k = 0; k < kN; ++k) {
        v[k] = from_float<T>(a.x[i + static_cast<unsigned>(k)]);
    }
    store_streaming(y + i, v);
    const Vector<T, kN> back = load_streaming<kN>(y + i);
    for (int k = 0; k < kN; ++k) {
        a.z[i + static_cast<unsigned>(k)] = to_float(back[k]);
    }
}

__global__ void atomics_kernel(Atomics a) {
    const int i = static_cast<int>(grid_thread());
    const unsigned u = grid_thread();
    atomicAdd(&a.ints[0], i);
    atomicMax(&a.ints[1], i);
    atomicMin(&a.ints[2], -i);
    atomicOr(&a.ints[3], 1 << (i % 31));
    atomicAdd(&a.unsigneds[0], u);
    atomicMax(&a.unsigneds[1], u);
    atomicMin(&a.unsigneds[2], 1000u - u);
    for (unsigned seen = 0;;) {
        const unsigned before = atomicCAS(&a.unsigneds[3], seen, seen + 1);
        if (before == seen) {
            break;
        }
        seen = before;
    }
    atomicAdd(&a.wides[0], 1ull << 32);
    atomicAdd(&a.floats[0], static_cast<float>(i));
    atomicAdd(&a.doubles[0], static_cast<double>(i));
}

__global__ void iota_kernel(Iota a) {
    FER_DYNAMIC_SHARED(unsigned, shared);
    if (a.dynamic_shared > 0 && threadIdx.x == 0) {
        shared[a.dynamic_shared / sizeof(unsigned) - 1] = 0;
    }
    for (unsigned i = grid_thread(); i < a.n; i += grid_threads()) {
        a.x[i] = i;
    }
}

}  // namespace

void warp_operations(const WarpOperations& a, cudaStream_t stream) {
    launch(warp_operations_kernel, {.block = dim3(32)}, stream, a);
}

void warp_product(const WarpProduct& a, cudaStream_t stream) {
    const Launch warp{.block = dim3(32)};
    switch (a.type) {
        case DType::kF16:
            return launch(warp_product_kernel<__half>, warp, stream, a);
        case DType::kBF16:
            return launch(warp_product_kernel<__nv_bfloat16>, warp, stream, a);
        default:
            return launch(warp_product_tf32_kernel, warp, stream, a);
    }
}

void load_matrix(const LoadMatrix& a, cudaStream_t stream) {
    launch(load_matrix_kernel, {.block = dim3(32)}, stream, a);
}

void round_tf32(const RoundTf32& a, cudaStream_t stream) { launch(round_tf32_kernel, over(a.n), stream, a); }

void copy_async(const CopyAsync& a, cudaStream_t stream) {
    const Launch block{.block = dim3(64)};
    switch (a.bytes) {
        case 4:
            return launch(copy_async_kernel<4>, block, stream, a);
        case 8:
            return launch(copy_async_kernel<8>, block, stream, a);
        default:
            return launch(copy_async_kernel<16>, block, stream, a);
    }
}

void reduce(const Reduce& a, cudaStream_t stream) {
    launch(reduce_kernel, {.grid = dim3(static_cast<unsigned>(a.blocks)), .block = dim3(kReduceThreads)}, stream, a);
}

void round_trip(const RoundTrip& a, cudaStream_t stream) {
    with_float_type(a.type, [&]<class T>() { launch(round_trip_kernel<T>, over(a.n / kVector<T>), stream, a); });
}

void atomics(const Atomics& a, cudaStream_t stream) {
    launch(atomics_kernel, {.grid = dim3(4), .block = dim3(64)}, stream, a);
}

void iota(const Iota& a, unsigned block, cudaStream_t stream) {
    Launch shape = over(a.n, block);
    shape.dynamic_shared = a.dynamic_shared;
    launch(iota_kernel, shape, stream, a);
}

}  // namespace fer::FER_PORT

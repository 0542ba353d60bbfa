// 64x64 tiles by 4 warps of 32x32, 32 columns of a and b at a time.
#include "kernels/port/port.hpp"
#include "tests/kernels/emulator/defects.hpp"

namespace fer::FER_PORT {

namespace {

constexpr int kTile = 64;
constexpr int kStep = 32;
constexpr int kPitch = kStep + 8;  // keeps the rows of an ldmatrix in different banks
constexpr int kStageElements = 2 * kTile * kPitch;
constexpr int kThreads = 128;

// Columns k0 .. k0+31 of one operand's 64 rows.
FER_DEVICE void load_tile(__half* tile, const __half* x, int first_row, int rows, int k0, int k) {
    for (int i = static_cast<int>(threadIdx.x); i < kTile * kStep / 8; i += kThreads) {
        const int row = i / (kStep / 8);
        const int col = i % (kStep / 8) * 8;
        const bool valid = first_row + row < rows && k0 + col < k;
        cp_async<16>(tile + row * kPitch + col, valid ? x + (first_row + row) * k + k0 + col : x, valid);
    }
}

FER_DEVICE void load_stage(__half* stage, const Multiply& a, int k0) {
    load_tile(stage, a.a, static_cast<int>(blockIdx.y) * kTile, a.m, k0, a.k);
    load_tile(stage + kTile * kPitch, a.b, static_cast<int>(blockIdx.x) * kTile, a.n, k0, a.k);
    cp_async_commit();
}

FER_DEVICE void multiply_stage(float (&sum)[2][4][4], const __half* stage, int warp_row, int warp_col, int lane) {
    for (int k = 0; k < kStep; k += 16) {
        std::uint32_t a[2][4];
        std::uint32_t b[4][2];
        for (int i = 0; i < 2; ++i) {
            ldmatrix_x4(a[i], stage + (warp_row + i * 16 + lane % 16) * kPitch + k + lane / 16 * 8);
        }
        for (int j = 0; j < 2; ++j) {
            std::uint32_t pair[4];
            const int row = warp_col + j * 16 + lane % 8 + lane / 16 * 8;
            ldmatrix_x4(pair, stage + (kTile + row) * kPitch + k + lane / 8 % 2 * 8);
            b[2 * j][0] = pair[0];
            b[2 * j][1] = pair[1];
            b[2 * j + 1][0] = pair[2];
            b[2 * j + 1][1] = pair[3];
        }
        for (int i = 0; i < 2; ++i) {
            for (int j = 0; j < 4; ++j) {
                mma_m16n8k16<__half>(sum[i][j], a[i], b[j]);
            }
        }
    }
}

template <Defect D>
__global__ void __launch_bounds__(kThreads) multiply_kernel(Multiply a) {
    FER_DYNAMIC_SHARED(__half, stages);
    const int lane = static_cast<int>(lane_id());
    const int warp = static_cast<int>(warp_id());
    const int warp_row = warp % 2 * 32;
    const int warp_col = warp / 2 * 32;

    float sum[2][4][4] = {};
    load_stage(stages, a, 0);
    for (int k0 = 0, stage = 0; k0 < a.k; k0 += kStep, stage ^= 1) {
        if (k0 + kStep < a.k) {
            load_stage(stages + (stage ^ 1) * kStageElements, a, k0 + kStep);
            cp_async_wait<D == Defect::kWaitsTooLittle ? 2 : 1>();
        } else {
            cp_async_wait<0>();
        }
        if constexpr (D != Defect::kNoArrivalBarrier) {
            __syncthreads();
        }
        multiply_stage(sum, stages + stage * kStageElements, warp_row, warp_col, lane);
        if constexpr (D != Defect::kNoStageBarrier) {
            __syncthreads();
        }
    }
    for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < 4; ++j) {
            for (int e = 0; e < 4; ++e) {
                const int row = static_cast<int>(blockIdx.y) * kTile + warp_row + i * 16 + lane / 4 + e / 2 * 8;
                const int col = static_cast<int>(blockIdx.x) * kTile + warp_col + j * 8 + lane % 4 * 2 + e % 2;
                if (row < a.m && (col < a.n || D == Defect::kNoColumnBound)) {
                    a.c[row * a.n + col] = sum[i][j][e];
                }
            }
        }
    }
}

}  // namespace

void multiply(const Multiply& a, Defect defect, cudaStream_t stream) {
    const auto tiles = [](int n) { return static_cast<unsigned>((n + kTile - 1) / kTile); };
    const Launch shape{.grid = dim3(tiles(a.n), tiles(a.m)),
                       .block = dim3(kThreads),
                       .dynamic_shared = 2 * kStageElements * sizeof(__half)};
    using enum Defect;
    with_defect<kNoArrivalBarrier, kWaitsTooLittle, kNoStageBarrier, kNoColumnBound>(
        defect, [&]<Defect D>() { launch(multiply_kernel<D>, shape, stream, a); });
}

}  // namespace fer::FER_PORT

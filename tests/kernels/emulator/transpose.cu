#include "kernels/port/port.hpp"
#include "tests/kernels/emulator/defects.hpp"

namespace fer::FER_PORT {

namespace {

constexpr unsigned kTile = 16;

template <Defect D>
__global__ void transpose_kernel(Transpose a) {
    FER_SHARED(float, tile, [kTile][kTile + 1]);
    const auto rows = static_cast<unsigned>(a.rows);
    const auto cols = static_cast<unsigned>(a.cols);

    const unsigned row = blockIdx.y * kTile + threadIdx.y;
    const unsigned col = blockIdx.x * kTile + threadIdx.x;
    if (row < rows && col < cols) {
        tile[threadIdx.y][threadIdx.x] = a.in[row * cols + col];
    }
    if constexpr (D != Defect::kNoTileBarrier) {
        __syncthreads();
    }
    const unsigned out_row = blockIdx.x * kTile + threadIdx.y;
    const unsigned out_col = blockIdx.y * kTile + threadIdx.x;
    if (out_row < cols && out_col < rows) {
        a.out[out_row * rows + out_col] = tile[threadIdx.x][threadIdx.y];
    }
}

template <Defect D>
__global__ void copy_vectors_kernel(CopyVectors a) {
    constexpr unsigned kOffset = D == Defect::kNone ? 0 : 1;
    const unsigned i = 4 * grid_thread();
    if (i >= static_cast<unsigned>(a.n)) {
        return;
    }
    if constexpr (D == Defect::kMisalignedCast) {
        *reinterpret_cast<float4*>(a.y + i) = *reinterpret_cast<const float4*>(a.x + kOffset + i);
    } else {
        store(a.y + i, load<4>(a.x + kOffset + i));
    }
}

struct Triple {
    float v[3];
};

__global__ void copy_triples_kernel(CopyVectors a) {
    for (unsigned i = grid_thread(); i < static_cast<unsigned>(a.n) / 3; i += grid_threads()) {
        reinterpret_cast<Triple*>(a.y)[i] = reinterpret_cast<const Triple*>(a.x)[i];
    }
}

}  // namespace

void transpose(const Transpose& a, Defect defect, cudaStream_t stream) {
    const auto tiles = [](int n) { return (static_cast<unsigned>(n) + kTile - 1) / kTile; };
    with_defect<Defect::kNoTileBarrier>(defect, [&]<Defect D>() {
        launch(transpose_kernel<D>, {.grid = dim3(tiles(a.cols), tiles(a.rows)), .block = dim3(kTile, kTile)}, stream,
               a);
    });
}

void copy_vectors(const CopyVectors& a, Defect defect, cudaStream_t stream) {
    with_defect<Defect::kMisalignedCast, Defect::kMisalignedLoad>(
        defect, [&]<Defect D>() { launch(copy_vectors_kernel<D>, over(a.n / 4), stream, a); });
}

void copy_triples(const CopyVectors& a, cudaStream_t stream) { launch(copy_triples_kernel, over(a.n / 3), stream, a); }

}  // namespace fer::FER_PORT

// Dropout, forward and backward alike.
#include "kernels/dropout.hpp"

#include "engine/core/random.hpp"
#include "kernels/clock.hpp"
#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

struct DropoutArgs {
    Dropout a;
    float scale;  // 1 / (1 - rate), rounded by the host as the CPU rounds it
    unsigned count;
    bool vectors;
};

// N is a multiple of four, so a thread needs whole random blocks.
template <class T, int N>
__global__ void __launch_bounds__(256) dropout_kernel(DropoutArgs s) {
    wait_for_previous();
    const RandomStream random(static_cast<std::uint64_t>(s.a.clock[kSeedWord]),
                              static_cast<std::uint64_t>(s.a.clock[kStepWord]), s.a.stream);
    const T* const x = static_cast<const T*>(s.a.x);
    T* const y = static_cast<T*>(s.a.y);
    const unsigned groups = (s.count + N - 1) / N;
    for (unsigned group = grid_thread(); group < groups; group += grid_threads()) {
        const unsigned first = group * N;
        const int valid = s.count - first < N ? static_cast<int>(s.count - first) : N;
        const bool whole = s.vectors && valid == N;
        float v[N];
        if (whole) {
            load_floats(v, x + first);
        } else {
            load_floats(v, x + first, valid);
        }
#pragma unroll
        for (int i = 0; i < N; i += 4) {
            const Philox4 words = random.words(first / 4 + static_cast<unsigned>(i) / 4);
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                v[i + j] = uniform01(words.v[j]) >= s.a.rate ? v[i + j] * s.scale : 0.0f;
            }
        }
        if (whole) {
            store_floats(y + first, v);
        } else {
            store_floats(y + first, v, valid);
        }
    }
}

}  // namespace

void dropout(const Dropout& a, cudaStream_t stream) {
    FER_CHECK(a.rate >= 0 && a.rate < 1, "a dropout rate is in [0, 1), got {}", a.rate);
    const bool vectors = is_aligned(a.x) && is_aligned(a.y);
    const DropoutArgs args{a, 1.0f / (1.0f - a.rate), static_cast<unsigned>(a.count), vectors};
    by_float_type(a.dtype, "dropout", [&]<class T>(T) {
        launch(dropout_kernel<T, kVector<T>>, over_groups(a.count, kVector<T>), stream, args);
    });
}

}  // namespace fer::FER_PORT

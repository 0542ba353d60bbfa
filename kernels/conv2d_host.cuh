// What the launchers of the three directions share.
#pragma once

#include "kernels/conv2d.hpp"
#include "kernels/conv2d_tile.cuh"

namespace fer::FER_PORT {

inline bool whole_rows(int channels, DType dtype) { return channels * size_of(dtype) % 16 == 0; }

inline void check_conv2d(const char* op, const Conv2dShape& s, DType dtype, DType result, bool tf32) {
    FER_CHECK(dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16,
              "{} takes f32, f16 and bf16, not {}", op, name_of(dtype));
    FER_CHECK(result == dtype || result == DType::kF32, "{} of {} gives {} or f32, not {}", op, name_of(dtype),
              name_of(dtype), name_of(result));
    FER_CHECK(!tf32 || dtype == DType::kF32, "{}: tf32 is a way to multiply f32, not {}", op, name_of(dtype));
    FER_CHECK(std::min({s.n, s.h, s.w, s.c, s.kh, s.kw, s.k, s.p, s.q, s.top, s.left}) >= 0 && s.stride >= 1,
              "{}: a negative extent, or a stride of {}", op, s.stride);
    require_indexable(std::int64_t{s.n} * s.h * s.w * std::max(1, s.c));
    require_indexable(std::int64_t{s.n} * s.p * s.q * std::max(1, s.k));
    require_indexable(std::int64_t{s.kh} * s.kw * s.c * std::max(1, s.k));
    require_indexable(std::int64_t{s.kh} * s.kw * std::max(s.c, s.k));
}

template <class... Pointers>
void check_aligned(const char* op, Pointers... pointers) {
    FER_CHECK((is_aligned(pointers) && ...), "{}: tensors and workspace must be 16-byte aligned", op);
}

inline Divisor divisor_of(int d) { return Divisor(static_cast<unsigned>(std::max(1, d))); }

/// Elements of the sum per tile.
inline int tile_k(DType dtype) { return static_cast<int>(64 / size_of(dtype)); }

/// Bytes of the partial results of a plan; 0 where nothing is split.
inline std::int64_t split_bytes(const GemmPlan& plan, std::int64_t rows, std::int64_t columns) {
    if (plan.splits <= 1) {
        return 0;
    }
    const std::int64_t elements = plan.splits * rows * columns;
    require_indexable(elements);
    return elements * static_cast<std::int64_t>(sizeof(float));
}

/// The part of the arguments that follows from the plan.
inline void apply_plan(GemmArgs& g, const GemmPlan& plan, void* workspace) {
    g.tiles_n = static_cast<unsigned>(plan.tiles_n);
    g.k_tiles = static_cast<unsigned>(plan.k_tiles);
    g.k_tiles_per_split = static_cast<unsigned>(plan.k_tiles_per_split);
    g.splits = static_cast<unsigned>(plan.splits);
    g.partial = static_cast<float*>(workspace);
    FER_CHECK(plan.splits == 1 || workspace != nullptr, "a sum in {} splits needs its workspace", plan.splits);
}

/// Launches the kernel that `kernel_of(Variant)` names, then adds the splits.
template <Direction D, class KernelOf>
void run_gemm(const char* op, const GemmArgs& g, const GemmPlan& plan, DType dtype, bool tf32, cudaStream_t stream,
              KernelOf kernel_of) {
    require_indexable(plan.tiles_m * plan.tiles_n);
    by_math(plan, dtype, tf32, g.wide_a && g.wide_b, op, [&]<class V>(V variant) {
        launch(kernel_of(variant),
               {.grid = dim3(static_cast<unsigned>(plan.tiles_m * plan.tiles_n), g.splits),
                .block = dim3(V::Block::kThreads),
                .dynamic_shared = Operands<D, typename V::Math::Element, typename V::Block>::kBytes},
               stream, g);
    });
    if (g.splits > 1) {
        conv2d_add_splits(g, dtype, stream);
    }
}

}  // namespace fer::FER_PORT

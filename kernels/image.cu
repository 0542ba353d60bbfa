// Gather and augmentation of a batch.
#include "kernels/image.hpp"

#include "kernels/augment.cuh"

namespace fer::FER_PORT {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kPerThread = 4;  // pixels: three blocks for an image of 48x48, so 64 images occupy 132 processors

/// Grid of `n` images (x) in slices (y) of kThreads * kPerThread elements.
Launch over_images(int n, std::int64_t elements) {
    constexpr std::int64_t kSlice = std::int64_t{kThreads} * kPerThread;
    const std::int64_t slices = std::min<std::int64_t>((elements + kSlice - 1) / kSlice, 65535);
    return {.grid = dim3(static_cast<unsigned>(n), static_cast<unsigned>(slices)), .block = dim3(kThreads)};
}

FER_DEVICE unsigned slice_thread() { return blockIdx.y * kThreads + threadIdx.x; }
FER_DEVICE unsigned slice_threads() { return gridDim.y * kThreads; }

struct AugmentArgs {
    Augment a;
    bool affine;
};

template <class In, class Out>
__global__ void __launch_bounds__(kThreads) augment_kernel(AugmentArgs s) {
    wait_for_previous();
    FER_SHARED(ImageMap, map);
    const Augment& a = s.a;
    if (threadIdx.x == 0) {
        draw_map(map, a.augmentation, s.affine, a.clock, blockIdx.x, a.h, a.w);
    }
    __syncthreads();
    const auto count = static_cast<unsigned>(a.h * a.w * a.c);
    const In* const image = static_cast<const In*>(a.x) + blockIdx.x * count;
    Out* const y = static_cast<Out*>(a.y) + blockIdx.x * count;
    for (unsigned i = slice_thread(); i < count; i += slice_threads()) {
        const int pixel = static_cast<int>(i) / a.c;
        const double v =
            augmented(map, a.augmentation, image, a.h, a.w, a.c, pixel / a.w, pixel % a.w, static_cast<int>(i) % a.c);
        y[i] = from_float<Out>(static_cast<float>(v));
    }
}

// N bytes at once: 16 where images are a multiple of that.
template <int N>
__global__ void __launch_bounds__(kThreads) gather_kernel(Gather a) {
    wait_for_previous();
    const std::int64_t image = a.order[a.clock[kCursorWord] + blockIdx.x];
    const std::uint8_t* const from = a.images + image * a.pixels;  // 64-bit: the data set may pass 2^31 bytes
    std::uint8_t* const to = a.batch_images + std::int64_t{blockIdx.x} * a.pixels;
    const auto groups = static_cast<unsigned>(a.pixels) / N;
    for (unsigned i = slice_thread(); i < groups; i += slice_threads()) {
        store(to + i * N, load<N>(from + i * N));
    }
    if (slice_thread() == 0) {
        a.batch_labels[blockIdx.x] = a.labels[image];
    }
}

struct ImageBatchArgs {
    ImageBatch a;
    bool affine;
};

template <class Out>
__global__ void __launch_bounds__(kThreads) image_batch_kernel(ImageBatchArgs s) {
    wait_for_previous();
    FER_SHARED(ImageMap, map);
    const ImageBatch& a = s.a;
    const std::int64_t image = a.order[a.clock[kCursorWord] + blockIdx.x];
    if (threadIdx.x == 0) {
        draw_map(map, a.augmentation, s.affine, a.clock, blockIdx.x, a.h, a.w);
    }
    __syncthreads();
    const auto count = static_cast<unsigned>(a.h * a.w);
    const std::uint8_t* const from = a.images + image * count;
    Out* const y = static_cast<Out*>(a.y) + blockIdx.x * count;
    for (unsigned i = slice_thread(); i < count; i += slice_threads()) {
        y[i] = batch_pixel<Out>(map, a, from, static_cast<int>(i) / a.w, static_cast<int>(i) % a.w);
    }
    if (slice_thread() == 0) {
        a.batch_labels[blockIdx.x] = a.labels[image];
    }
}

}  // namespace

void augment(const Augment& a, cudaStream_t stream) {
    const std::int64_t count = std::int64_t{a.h} * a.w * a.c;
    require_indexable(a.n * count);
    const AugmentArgs args{a, any_affine(a.augmentation)};
    by_pixel_type(a.from, "augment", [&]<class In>(In) {
        by_float_type(a.to, "augment",
                      [&]<class Out>(Out) { launch(augment_kernel<In, Out>, over_images(a.n, count), stream, args); });
    });
}

void gather(const Gather& a, cudaStream_t stream) {
    require_indexable(std::int64_t{a.batch} * a.pixels);
    const bool vectors = a.pixels % 16 == 0 && is_aligned(a.images) && is_aligned(a.batch_images);
    const Launch shape = over_images(a.batch, vectors ? a.pixels / 16 : a.pixels);
    launch(vectors ? gather_kernel<16> : gather_kernel<1>, shape, stream, a);
}

void image_batch(const ImageBatch& a, cudaStream_t stream) {
    const std::int64_t count = std::int64_t{a.h} * a.w;
    require_indexable(a.batch * count);
    const ImageBatchArgs args{a, any_affine(a.augmentation)};
    by_float_type(a.to, "image_batch",
                  [&]<class Out>(Out) { launch(image_batch_kernel<Out>, over_images(a.batch, count), stream, args); });
}

}  // namespace fer::FER_PORT

// Scaling, standardization and resizing of images.
#include "kernels/augment.cuh"
#include "kernels/image.hpp"

namespace fer::FER_PORT {
namespace {

constexpr int kThreads = 256;

/// offset[channel], without an index that would put the argument into local memory.
FER_DEVICE float pick(const float (&offset)[3], unsigned channel) {
    return channel == 0 ? offset[0] : (channel == 1 ? offset[1] : offset[2]);
}

struct RescaleArgs {
    Rescale a;
    unsigned count;
};

template <class In, class Out>
__global__ void __launch_bounds__(kThreads) rescale_kernel(RescaleArgs s) {
    wait_for_previous();
    const Rescale& a = s.a;
    const auto c = static_cast<unsigned>(a.c);
    for (unsigned i = grid_thread(); i < s.count; i += grid_threads()) {
        const float v = to_float(static_cast<const In*>(a.x)[i]);
        static_cast<Out*>(a.y)[i] = from_float<Out>(__fadd_rn(__fmul_rn(v, a.scale), pick(a.offset, i % c)));
    }
}

// A block per image, which it reads three times: the second and third time from the caches.
template <class In, class Out>
__global__ void __launch_bounds__(kThreads) standardize_kernel(Standardize a) {
    wait_for_previous();
    FER_SHARED(double, shared, [kThreads / kWarp]);
    const auto count = static_cast<unsigned>(a.pixels);
    const In* const x = static_cast<const In*>(a.x) + blockIdx.x * count;
    Out* const y = static_cast<Out*>(a.y) + blockIdx.x * count;
    double sum = 0;
    for (unsigned i = threadIdx.x; i < count; i += kThreads) {
        sum += static_cast<double>(to_float(x[i]));
    }
    const double mean = block_sum<kThreads>(sum, shared) / count;
    double squares = 0;
    for (unsigned i = threadIdx.x; i < count; i += kThreads) {
        const double d = static_cast<double>(to_float(x[i])) - mean;
        squares += d * d;
    }
    const double deviation = sqrt(block_sum<kThreads>(squares, shared) / count) + 1e-6;
    for (unsigned i = threadIdx.x; i < count; i += kThreads) {
        y[i] = from_float<Out>(static_cast<float>((static_cast<double>(to_float(x[i])) - mean) / deviation));
    }
}

struct ResizeArgs {
    Resize a;
    double scale_h, scale_w;  // size / out_size
    unsigned count;           // places of the output times source channels
    Divisor channels, columns, rows;
};

/// Position of an output place along one axis: the two source places and the weight of the second.
struct Between {
    int low, high;
    float weight;
};
FER_DEVICE Between between(unsigned out, double scale, int size) {
    const double last = size - 1;
    const double at = clamped((static_cast<double>(out) + 0.5) * scale - 0.5, last);
    const int low = static_cast<int>(at);
    return {low, low + 1 < size ? low + 1 : low, static_cast<float>(at - low)};
}

template <class In>
FER_DEVICE float resized(const ResizeArgs& s, const In* image, unsigned row, unsigned col, unsigned channel) {
    const Resize& a = s.a;
    const auto at = [&](int r, int q) { return to_float(image[(r * a.w + q) * a.c + static_cast<int>(channel)]); };
    if (!a.bilinear) {
        return at(static_cast<int>((static_cast<double>(row) + 0.5) * s.scale_h),
                  static_cast<int>((static_cast<double>(col) + 0.5) * s.scale_w));
    }
    const Between r = between(row, s.scale_h, a.h), q = between(col, s.scale_w, a.w);
    const float upper = (1.0f - q.weight) * at(r.low, q.low) + q.weight * at(r.low, q.high);
    const float lower = (1.0f - q.weight) * at(r.high, q.low) + q.weight * at(r.high, q.high);
    return (1.0f - r.weight) * upper + r.weight * lower;
}

template <class In, class Out>
__global__ void __launch_bounds__(kThreads) resize_kernel(ResizeArgs s) {
    wait_for_previous();
    const Resize& a = s.a;
    Out* const y = static_cast<Out*>(a.y);
    for (unsigned i = grid_thread(); i < s.count; i += grid_threads()) {
        unsigned image = i;
        const unsigned channel = s.channels.peel(image);
        const unsigned col = s.columns.peel(image);
        const unsigned row = s.rows.peel(image);
        const In* const x = static_cast<const In*>(a.x) + image * static_cast<unsigned>(a.h * a.w * a.c);
        const float v = __fmul_rn(resized(s, x, row, col, channel), a.scale);
        if (a.gray_to_rgb) {
#pragma unroll
            for (unsigned k = 0; k < 3; ++k) {
                y[i * 3 + k] = from_float<Out>(__fadd_rn(v, pick(a.offset, k)));
            }
        } else {
            y[i] = from_float<Out>(a.c > 3 ? v : __fadd_rn(v, pick(a.offset, channel)));
        }
    }
}

struct GrayToRgbArgs {
    GrayToRgb a;
    unsigned count;  // of y
};

template <class T>
__global__ void __launch_bounds__(kThreads) gray_to_rgb_kernel(GrayToRgbArgs s) {
    wait_for_previous();
    for (unsigned i = grid_thread(); i < s.count; i += grid_threads()) {
        static_cast<T*>(s.a.y)[i] = static_cast<const T*>(s.a.x)[i / 3];
    }
}

bool any_offset(const float (&offset)[3]) { return offset[0] != 0 || offset[1] != 0 || offset[2] != 0; }

}  // namespace

void rescale(const Rescale& a, cudaStream_t stream) {
    FER_CHECK(a.c >= 1 && a.c <= 3, "rescale has offsets for 3 channels, not {}", a.c);
    const RescaleArgs args{a, static_cast<unsigned>(a.rows * a.c)};
    by_pixel_type(a.from, "rescale", [&]<class In>(In) {
        by_float_type(a.to, "rescale", [&]<class Out>(Out) {
            launch(rescale_kernel<In, Out>, over(a.rows * a.c, kThreads), stream, args);
        });
    });
}

void standardize(const Standardize& a, cudaStream_t stream) {
    require_indexable(std::int64_t{a.n} * a.pixels);
    const Launch shape{.grid = dim3(static_cast<unsigned>(a.n)), .block = dim3(kThreads)};
    by_pixel_type(a.from, "standardize", [&]<class In>(In) {
        by_float_type(a.to, "standardize",
                      [&]<class Out>(Out) { launch(standardize_kernel<In, Out>, shape, stream, a); });
    });
}

void resize(const Resize& a, cudaStream_t stream) {
    const int channels = a.gray_to_rgb ? 3 : a.c;
    FER_CHECK(!a.gray_to_rgb || a.c == 1, "grey to RGB needs one channel, got {}", a.c);
    FER_CHECK(channels <= 3 || !any_offset(a.offset), "resize has offsets for 3 channels, not {}", channels);
    require_indexable(std::int64_t{a.n} * a.out_h * a.out_w * channels);
    require_indexable(std::int64_t{a.n} * a.h * a.w * a.c);
    const std::int64_t count = std::int64_t{a.n} * a.out_h * a.out_w * a.c;
    if (count == 0) {
        return;
    }
    FER_CHECK(a.h > 0 && a.w > 0, "cannot resize an image of {}x{}", a.h, a.w);
    const ResizeArgs args{a,
                          static_cast<double>(a.h) / a.out_h,
                          static_cast<double>(a.w) / a.out_w,
                          static_cast<unsigned>(count),
                          Divisor(static_cast<unsigned>(a.c)),
                          Divisor(static_cast<unsigned>(a.out_w)),
                          Divisor(static_cast<unsigned>(a.out_h))};
    by_pixel_type(a.from, "resize", [&]<class In>(In) {
        by_float_type(a.to, "resize",
                      [&]<class Out>(Out) { launch(resize_kernel<In, Out>, over(count, kThreads), stream, args); });
    });
}

void gray_to_rgb(const GrayToRgb& a, cudaStream_t stream) {
    const GrayToRgbArgs args{a, static_cast<unsigned>(3 * a.count)};
    by_pixel_type(a.dtype, "gray_to_rgb",
                  [&]<class T>(T) { launch(gray_to_rgb_kernel<T>, over(3 * a.count, kThreads), stream, args); });
}

}  // namespace fer::FER_PORT

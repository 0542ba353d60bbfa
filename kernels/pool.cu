#include "kernels/pool.hpp"

#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

template <class Op>
struct Pool {
    Op a;
    NhwcPlaces places;  // of the tensor that is written; for max_pool_tiles_bwd_kernel, of the windows
    unsigned count;
};

/// The part of a window that lies on the image, and where it begins.
struct Extent {
    int begin, low, high;  // row begin + r of the image, r in [low, high)
};
FER_DEVICE Extent extent(int place, int stride, int before, int window, int size) {
    const int begin = place * stride - before;
    return {begin, begin < 0 ? -begin : 0, min(window, size - begin)};
}

/// First and one past the last window that covers place `i`.
FER_DEVICE int first_window(int i, int before, int window, int stride) {
    const int beyond = i + before - window + 1;  // windows must start here or later
    return beyond <= 0 ? 0 : (beyond + stride - 1) / stride;
}
FER_DEVICE int end_window(int i, int before, int stride, int windows) {
    return min(windows, (i + before) / stride + 1);
}

template <class Op>
FER_DEVICE unsigned at_x(const Op& a, unsigned n, int row, int column, unsigned channel) {
    return ((n * a.h + row) * a.w + column) * a.c + channel;
}
template <class Op>
FER_DEVICE unsigned at_y(const Op& a, unsigned n, int row, int column, unsigned channel) {
    return ((n * a.out_h + row) * a.out_w + column) * a.c + channel;
}

template <int V>
struct Winners {
    float best[V];
    unsigned char place[V];

    FER_DEVICE void challenge(const float (&x)[V], int at, bool first) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
            // Greater, or the first NaN: nothing is greater than a NaN, and only a number can lose to one.
            const bool wins = first || (!(x[v] <= best[v]) && best[v] == best[v]);
            best[v] = wins ? x[v] : best[v];
            place[v] = wins ? static_cast<unsigned char>(at) : place[v];
        }
    }
};

/// One thread per V channels of an output. kWindow > 0: all windows lie on the image, so the loads of one are
/// independent and in flight together; 0: any.
template <class T, int V, int kWindow>
__global__ void __launch_bounds__(256) max_pool_fwd_kernel(Pool<MaxPool> k) {
    wait_for_previous();
    const MaxPool& a = k.a;
    const T* x = static_cast<const T*>(a.x);
    for (unsigned i = grid_thread(); i < k.count; i += grid_threads()) {
        const NhwcPlace to = k.places.at(i);
        const int window = kWindow > 0 ? kWindow : a.window;
        Extent rows = extent(static_cast<int>(to.row), a.stride, a.top, window, a.h);
        Extent columns = extent(static_cast<int>(to.column), a.stride, a.left, window, a.w);
        if (kWindow > 0) {
            rows = {rows.begin, 0, kWindow};
            columns = {columns.begin, 0, kWindow};
        }
        Winners<V> winners;
        for (int v = 0; v < V; ++v) {
            winners.best[v] = 0.0f;
            winners.place[v] = 255;
        }
#pragma unroll(kWindow > 0 ? kWindow : 1)
        for (int r = rows.low; r < rows.high; ++r) {
#pragma unroll(kWindow > 0 ? kWindow : 1)
            for (int s = columns.low; s < columns.high; ++s) {
                float candidate[V];
                load_floats(candidate, x + at_x(a, to.n, rows.begin + r, columns.begin + s, to.channel));
                winners.challenge(candidate, r * window + s, r == rows.low && s == columns.low);
            }
        }
        store_floats(static_cast<T*>(a.y) + i * V, winners.best);
        if (a.argmax != nullptr) {
            Vector<std::uint8_t, V> argmax;
            for (int v = 0; v < V; ++v) {
                argmax[v] = winners.place[v];
            }
            store(a.argmax + i * V, argmax);
        }
    }
}

/// One thread per V channels of an input. 4 blocks: for sm_80, ptxas 13.0 aims for 40 registers otherwise and spills.
template <class T, int V>
__global__ void __launch_bounds__(256, 4) max_pool_bwd_kernel(Pool<MaxPoolGrad> k) {
    wait_for_previous();
    const MaxPoolGrad& a = k.a;
    const T* dy = static_cast<const T*>(a.dy);
    for (unsigned i = grid_thread(); i < k.count; i += grid_threads()) {
        const NhwcPlace to = k.places.at(i);
        const int row = static_cast<int>(to.row);
        const int column = static_cast<int>(to.column);
        const int last_p = end_window(row, a.top, a.stride, a.out_h);
        const int last_q = end_window(column, a.left, a.stride, a.out_w);
        float sum[V] = {};
        for (int p = first_window(row, a.top, a.window, a.stride); p < last_p; ++p) {
            for (int q = first_window(column, a.left, a.window, a.stride); q < last_q; ++q) {
                const int place = (row - (p * a.stride - a.top)) * a.window + column - (q * a.stride - a.left);
                const unsigned from = at_y(a, to.n, p, q, to.channel);
                const Vector<std::uint8_t, V> argmax = load<V>(a.argmax + from);
                float d[V];
                load_floats(d, dy + from);
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    sum[v] += argmax[v] == place ? d[v] : 0.0f;
                }
            }
        }
        store_floats(static_cast<T*>(a.dx) + i * V, sum);
    }
}

/// Windows side by side (stride = window, no padding): one thread per V channels of a window writes all its places, so
/// dy and argmax are read once instead of window^2 times. Rows and columns left over form windows of zeros.
template <class T, int V, int kWindow>
__global__ void __launch_bounds__(256) max_pool_tiles_bwd_kernel(Pool<MaxPoolGrad> k) {
    wait_for_previous();
    const MaxPoolGrad& a = k.a;
    for (unsigned i = grid_thread(); i < k.count; i += grid_threads()) {
        const NhwcPlace of = k.places.at(i);
        const int p = static_cast<int>(of.row);
        const int q = static_cast<int>(of.column);
        float d[V] = {};
        Vector<std::uint8_t, V> argmax = {};
        if (p < a.out_h && q < a.out_w) {
            const unsigned from = at_y(a, of.n, p, q, of.channel);
            load_floats(d, static_cast<const T*>(a.dy) + from);
            argmax = load<V>(a.argmax + from);
        }
#pragma unroll
        for (int place = 0; place < kWindow * kWindow; ++place) {
            const int row = p * kWindow + place / kWindow;
            const int column = q * kWindow + place % kWindow;
            if (row < a.h && column < a.w) {
                float out[V];
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    out[v] = argmax[v] == place ? d[v] : 0.0f;
                }
                store_floats(static_cast<T*>(a.dx) + at_x(a, of.n, row, column, of.channel), out);
            }
        }
    }
}

template <class T, int V>
__global__ void __launch_bounds__(256) avg_pool_fwd_kernel(Pool<AvgPool> k) {
    wait_for_previous();
    const AvgPool& a = k.a;
    const T* x = static_cast<const T*>(a.x);
    for (unsigned i = grid_thread(); i < k.count; i += grid_threads()) {
        const NhwcPlace to = k.places.at(i);
        const Extent rows = extent(static_cast<int>(to.row), a.stride, a.top, a.window, a.h);
        const Extent columns = extent(static_cast<int>(to.column), a.stride, a.left, a.window, a.w);
        float sum[V] = {};
        for (int r = rows.low; r < rows.high; ++r) {
            for (int s = columns.low; s < columns.high; ++s) {
                float value[V];
                load_floats(value, x + at_x(a, to.n, rows.begin + r, columns.begin + s, to.channel));
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    sum[v] += value[v];
                }
            }
        }
        const auto count = static_cast<float>((rows.high - rows.low) * (columns.high - columns.low));
#pragma unroll
        for (int v = 0; v < V; ++v) {
            sum[v] = sum[v] / count;
        }
        store_floats(static_cast<T*>(a.y) + i * V, sum);
    }
}

template <class T, int V>
__global__ void __launch_bounds__(256) avg_pool_bwd_kernel(Pool<AvgPoolGrad> k) {
    wait_for_previous();
    const AvgPoolGrad& a = k.a;
    const T* dy = static_cast<const T*>(a.dy);
    for (unsigned i = grid_thread(); i < k.count; i += grid_threads()) {
        const NhwcPlace to = k.places.at(i);
        const int row = static_cast<int>(to.row);
        const int column = static_cast<int>(to.column);
        const int last_p = end_window(row, a.top, a.stride, a.out_h);
        const int last_q = end_window(column, a.left, a.stride, a.out_w);
        float sum[V] = {};
        for (int p = first_window(row, a.top, a.window, a.stride); p < last_p; ++p) {
            const Extent rows = extent(p, a.stride, a.top, a.window, a.h);
            for (int q = first_window(column, a.left, a.window, a.stride); q < last_q; ++q) {
                const Extent columns = extent(q, a.stride, a.left, a.window, a.w);
                const auto count = static_cast<float>((rows.high - rows.low) * (columns.high - columns.low));
                float d[V];
                load_floats(d, dy + at_y(a, to.n, p, q, to.channel));
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    sum[v] += d[v] / count;
                }
            }
        }
        store_floats(static_cast<T*>(a.dx) + i * V, sum);
    }
}

constexpr unsigned kLanes = 32;  // neighbouring groups of channels
constexpr unsigned kParts = 8;   // threads that share the places of an image between them

template <class Op>
struct GlobalPool {
    Op a;
    unsigned chunks;  // of kLanes * V channels
};

/// One block per image and chunk of channels. Thread (lane, part) adds every kParts-th place; the parts are added in
/// order.
template <class T, int V>
__global__ void __launch_bounds__(kLanes* kParts) global_avg_pool_fwd_kernel(GlobalPool<GlobalAvgPool> k) {
    wait_for_previous();
    FER_SHARED(float, partial, [kParts][kLanes][V]);
    const GlobalAvgPool& a = k.a;
    const unsigned lane = threadIdx.x % kLanes;
    const unsigned part = threadIdx.x / kLanes;
    const unsigned n = blockIdx.x / k.chunks;
    const unsigned channel = (blockIdx.x % k.chunks * kLanes + lane) * V;
    const bool valid = channel < static_cast<unsigned>(a.c);

    float sum[V] = {};
    const T* x = static_cast<const T*>(a.x) + n * a.places * a.c + channel;
    for (unsigned i = part; valid && i < static_cast<unsigned>(a.places); i += kParts) {
        float value[V];
        load_floats(value, x + i * a.c);
#pragma unroll
        for (int v = 0; v < V; ++v) {
            sum[v] += value[v];
        }
    }
    for (int v = 0; v < V; ++v) {
        partial[part][lane][v] = sum[v];
    }
    __syncthreads();
    if (part == 0 && valid) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
            for (unsigned p = 1; p < kParts; ++p) {
                sum[v] += partial[p][lane][v];
            }
            sum[v] = sum[v] / static_cast<float>(a.places);
        }
        store_floats(static_cast<T*>(a.y) + n * a.c + channel, sum);
    }
}

template <class T, int V>
__global__ void __launch_bounds__(256) global_avg_pool_bwd_kernel(Pool<GlobalAvgPoolGrad> k) {
    wait_for_previous();
    const GlobalAvgPoolGrad& a = k.a;
    for (unsigned i = grid_thread(); i < k.count; i += grid_threads()) {
        const NhwcPlace to = k.places.at(i);
        float d[V];
        load_floats(d, static_cast<const T*>(a.dy) + to.n * a.c + to.channel);
#pragma unroll
        for (int v = 0; v < V; ++v) {
            d[v] = d[v] / static_cast<float>(a.places);
        }
        store_floats(static_cast<T*>(a.dx) + i * V, d);
    }
}

/// What the launchers of the windows share. body(std::integral_constant<int, V>) with V channels per thread.
template <class T, class Op, class Body>
void by_channels(const Op& a, const void* in, const void* out, const void* argmax, Body body) {
    FER_CHECK(a.window >= 1 && a.window <= 15 && a.stride >= 1, "pooling by windows of {} moving by {}", a.window,
              a.stride);
    require_indexable(std::int64_t{a.n} * a.h * a.w * a.c);
    require_indexable(std::int64_t{a.n} * a.out_h * a.out_w * a.c);
    constexpr int kGroup = kVector<T>;
    if (a.c % kGroup == 0 && is_aligned(in) && is_aligned(out) && is_aligned(argmax, kGroup)) {
        body(std::integral_constant<int, kGroup>{});
    } else {
        body(std::integral_constant<int, 1>{});
    }
}

template <class Op>
void launch_over(void (*kernel)(Pool<Op>), const Op& a, int h, int w, int group, cudaStream_t stream,
                 const std::source_location& at = std::source_location::current()) {
    const std::int64_t count = std::int64_t{a.n} * h * w * ((a.c + group - 1) / group);
    launch(kernel, over(count), stream, {a, NhwcPlaces(h, w, a.c, group), static_cast<unsigned>(count)}, at);
}

/// Whether every window lies on the image.
bool inside(const MaxPool& a) {
    return a.top == 0 && a.left == 0 && (a.out_h - 1) * a.stride + a.window <= a.h &&
           (a.out_w - 1) * a.stride + a.window <= a.w;
}

/// Whether the windows, with those cut off at the far edges, cover every place of the image once.
bool side_by_side(const MaxPoolGrad& a) {
    return a.top == 0 && a.left == 0 && a.stride == a.window && a.out_h <= (a.h + a.stride - 1) / a.stride &&
           a.out_w <= (a.w + a.stride - 1) / a.stride;
}

}  // namespace

void max_pool_fwd(const MaxPool& a, cudaStream_t stream) {
    by_float_type(a.dtype, "max_pool", [&]<class T>(T) {
        by_channels<T>(a, a.x, a.y, a.argmax, [&]<int V>(std::integral_constant<int, V>) {
            const auto kernel = !inside(a)      ? max_pool_fwd_kernel<T, V, 0>
                                : a.window == 2 ? max_pool_fwd_kernel<T, V, 2>
                                : a.window == 3 ? max_pool_fwd_kernel<T, V, 3>
                                                : max_pool_fwd_kernel<T, V, 0>;
            launch_over<MaxPool>(kernel, a, a.out_h, a.out_w, V, stream);
        });
    });
}

void max_pool_bwd(const MaxPoolGrad& a, cudaStream_t stream) {
    by_float_type(a.dtype, "max_pool", [&]<class T>(T) {
        by_channels<T>(a, a.dy, a.dx, a.argmax, [&]<int V>(std::integral_constant<int, V>) {
            if (side_by_side(a) && a.window == 2) {
                launch_over<MaxPoolGrad>(max_pool_tiles_bwd_kernel<T, V, 2>, a, (a.h + 1) / 2, (a.w + 1) / 2, V,
                                         stream);
            } else {
                launch_over<MaxPoolGrad>(max_pool_bwd_kernel<T, V>, a, a.h, a.w, V, stream);
            }
        });
    });
}

void avg_pool_fwd(const AvgPool& a, cudaStream_t stream) {
    by_float_type(a.dtype, "avg_pool", [&]<class T>(T) {
        by_channels<T>(a, a.x, a.y, nullptr, [&]<int V>(std::integral_constant<int, V>) {
            launch_over<AvgPool>(avg_pool_fwd_kernel<T, V>, a, a.out_h, a.out_w, V, stream);
        });
    });
}

void avg_pool_bwd(const AvgPoolGrad& a, cudaStream_t stream) {
    by_float_type(a.dtype, "avg_pool", [&]<class T>(T) {
        by_channels<T>(a, a.dy, a.dx, nullptr, [&]<int V>(std::integral_constant<int, V>) {
            launch_over<AvgPoolGrad>(avg_pool_bwd_kernel<T, V>, a, a.h, a.w, V, stream);
        });
    });
}

void global_avg_pool_fwd(const GlobalAvgPool& a, cudaStream_t stream) {
    require_indexable(std::int64_t{a.n} * a.places * a.c);
    by_float_type(a.dtype, "global_avg_pool", [&]<class T>(T) {
        const auto start = [&]<int V>(std::integral_constant<int, V>) {
            const unsigned chunks = (static_cast<unsigned>(a.c) + kLanes * V - 1) / (kLanes * V);
            const Launch shape{.grid = dim3(static_cast<unsigned>(a.n) * chunks), .block = dim3(kLanes * kParts)};
            launch(global_avg_pool_fwd_kernel<T, V>, shape, stream, {a, chunks});
        };
        if (a.c % kVector<T> == 0 && is_aligned(a.x) && is_aligned(a.y)) {
            start(std::integral_constant<int, kVector<T>>{});
        } else {
            start(std::integral_constant<int, 1>{});
        }
    });
}

void global_avg_pool_bwd(const GlobalAvgPoolGrad& a, cudaStream_t stream) {
    require_indexable(std::int64_t{a.n} * a.places * a.c);
    by_float_type(a.dtype, "global_avg_pool", [&]<class T>(T) {
        const auto start = [&]<int V>(std::integral_constant<int, V>) {
            const std::int64_t count = std::int64_t{a.n} * a.places * (a.c / V);
            launch(global_avg_pool_bwd_kernel<T, V>, over(count), stream,
                   {a, NhwcPlaces(1, a.places, a.c, V), static_cast<unsigned>(count)});
        };
        if (a.c % kVector<T> == 0 && is_aligned(a.dy) && is_aligned(a.dx)) {
            start(std::integral_constant<int, kVector<T>>{});
        } else {
            start(std::integral_constant<int, 1>{});
        }
    });
}

}  // namespace fer::FER_PORT

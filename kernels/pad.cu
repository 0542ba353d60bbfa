#include "kernels/pad.hpp"

#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

/// One kernel for both: padding is cropping by a negative amount, with zeros where there is nothing to copy.
struct Window {
    const void* x;
    void* y;
    int h, w, c;        // of x
    int top, left;      // y(i, j) is x(i + top, j + left)
    NhwcPlaces places;  // of y
    unsigned count;
};

/// One thread per V channels of y.
template <class T, int V>
__global__ void __launch_bounds__(256) window_copy_kernel(Window a) {
    wait_for_previous();
    for (unsigned i = grid_thread(); i < a.count; i += grid_threads()) {
        const NhwcPlace to = a.places.at(i);
        const int row = static_cast<int>(to.row) + a.top;
        const int column = static_cast<int>(to.column) + a.left;
        Vector<T, V> value = {};
        if (row >= 0 && row < a.h && column >= 0 && column < a.w) {
            value = load<V>(static_cast<const T*>(a.x) + ((to.n * a.h + row) * a.w + column) * a.c + to.channel);
        }
        store(static_cast<T*>(a.y) + i * V, value);
    }
}

template <class T>
void window_copy(Window a, int n, int out_h, int out_w, cudaStream_t stream) {
    require_indexable(std::int64_t{n} * a.h * a.w * a.c);
    require_indexable(std::int64_t{n} * out_h * out_w * a.c);
    const bool vector = a.c % kVector<T> == 0 && is_aligned(a.x) && is_aligned(a.y);
    const int group = vector ? kVector<T> : 1;
    const std::int64_t count = std::int64_t{n} * out_h * out_w * (a.c / group);
    a.places = NhwcPlaces(out_h, out_w, a.c, group);
    a.count = static_cast<unsigned>(count);
    launch(vector ? window_copy_kernel<T, kVector<T>> : window_copy_kernel<T, 1>, over(count), stream, a);
}

void by_element_size(DType dtype, const Window& a, int n, int out_h, int out_w, cudaStream_t stream) {
    switch (size_of(dtype)) {
        case 1:
            return window_copy<std::uint8_t>(a, n, out_h, out_w, stream);
        case 2:
            return window_copy<std::uint16_t>(a, n, out_h, out_w, stream);
        case 4:
            return window_copy<std::uint32_t>(a, n, out_h, out_w, stream);
        default:
            throw UsageError(fmt::format("padding takes elements of 1, 2 or 4 bytes, not {}", name_of(dtype)));
    }
}

}  // namespace

void zero_pad_fwd(const ZeroPad& a, cudaStream_t stream) {
    FER_CHECK(a.top >= 0 && a.bottom >= 0 && a.left >= 0 && a.right >= 0, "zero_pad by {} {} {} {}", a.top, a.bottom,
              a.left, a.right);
    const Window window{a.x, a.y, a.h, a.w, a.c, -a.top, -a.left, NhwcPlaces(1, 1, 1, 1), 0};
    by_element_size(a.dtype, window, a.n, a.top + a.h + a.bottom, a.left + a.w + a.right, stream);
}

void crop_fwd(const Crop& a, cudaStream_t stream) {
    FER_CHECK(a.top >= 0 && a.bottom >= 0 && a.left >= 0 && a.right >= 0 && a.top + a.bottom <= a.h &&
                  a.left + a.right <= a.w,
              "crop of {} {} {} {} from {}x{}", a.top, a.bottom, a.left, a.right, a.h, a.w);
    const Window window{a.x, a.y, a.h, a.w, a.c, a.top, a.left, NhwcPlaces(1, 1, 1, 1), 0};
    by_element_size(a.dtype, window, a.n, a.h - a.top - a.bottom, a.w - a.left - a.right, stream);
}

}  // namespace fer::FER_PORT

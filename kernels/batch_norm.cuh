// What the forward and the backward kernels of batch normalization compute alike, to the bit: the gradient's mask is
// taken from a value computed again.
#pragma once

#include "kernels/batch_norm.hpp"
#include "kernels/columns.cuh"

namespace fer::FER_PORT {

template <int V>
FER_DEVICE void load_channels(float (&out)[V], const float* p) {
#pragma unroll
    for (int i = 0; i < V; ++i) {  // one by one: parameters need no alignment, and a thread reads them once
        out[i] = p[i];
    }
}

FER_DEVICE float inverse_deviation(float variance, float epsilon) { return 1.0f / sqrtf(variance + epsilon); }

/// The V channels of a thread, ready for y = (x - mean) * scale + shift. The mean is subtracted first: folding it into
/// the shift would cancel where it is large.
template <int V>
struct Normalizer {
    float mean[V], scale[V], shift[V];

    FER_DEVICE void read(const float* means, const float* variance, const float* gamma, const float* beta,
                         unsigned channel, float epsilon) {
        load_channels(mean, means + channel);
        load_channels(shift, beta + channel);
#pragma unroll
        for (int i = 0; i < V; ++i) {
            scale[i] = gamma[channel + i] * inverse_deviation(variance[channel + i], epsilon);
        }
    }
    FER_DEVICE float operator()(float x, int i) const { return fmaf(x - mean[i], scale[i], shift[i]); }
};

/// As it is after storage in T.
template <class T>
FER_DEVICE float rounded(float v) {
    return to_float(from_float<T>(v));
}

/// 2x2 windows of stride 2 over (n, h, w), those cut off by an odd edge included: their rows and columns exist only as
/// far as the image does.
struct Windows {
    unsigned n, h, w;
    Divisor per_row, per_column;

    Windows(int images, int height, int width)
        : n(static_cast<unsigned>(images)),
          h(static_cast<unsigned>(height)),
          w(static_cast<unsigned>(width)),
          per_row((w + 1) / 2),
          per_column((h + 1) / 2) {}

    /// All of them, or only the whole ones, which are the pixels of the pooled image.
    std::int64_t count() const { return std::int64_t{n} * ((h + 1) / 2) * ((w + 1) / 2); }
    std::int64_t pooled() const { return std::int64_t{n} * (h / 2) * (w / 2); }
};

/// A window: its first pixel, and which of its rows and columns are on the image.
struct WindowPlace {
    unsigned first, pooled;  // rows of x and of p
    bool right, below;

    FER_DEVICE bool whole() const { return right && below; }
    FER_DEVICE bool has(int place) const { return (place % 2 == 0 || right) && (place < 2 || below); }
    FER_DEVICE unsigned pixel(int place, unsigned w) const {
        return first + static_cast<unsigned>(place / 2) * w + static_cast<unsigned>(place % 2);
    }
};

FER_DEVICE WindowPlace window_place(const Windows& s, unsigned window) {
    const unsigned q = s.per_row.peel(window);
    const unsigned p = s.per_column.peel(window);
    return {(window * s.h + 2 * p) * s.w + 2 * q, (window * (s.h / 2) + p) * (s.w / 2) + q, 2 * q + 1 < s.w,
            2 * p + 1 < s.h};
}

}  // namespace fer::FER_PORT

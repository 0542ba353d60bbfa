// What the window kernels (convolution, pooling, padding) and the elementwise ones share: dispatch by storage type,
// division by a number known at launch, groups of elements as floats, activations.
#pragma once

#include "engine/core/error.hpp"
#include "kernels/activation.hpp"
#include "kernels/port/port.hpp"

namespace fer::FER_PORT {

/// body(T{}) with the storage type of `dtype`.
template <class Body>
void by_float_type(DType dtype, const char* op, Body body) {
    switch (dtype) {
        case DType::kF32:
            return body(float{});
        case DType::kF16:
            return body(__half{});
        case DType::kBF16:
            return body(__nv_bfloat16{});
        default:
            throw UsageError(fmt::format("{} takes f32, f16 and bf16, not {}", op, name_of(dtype)));
    }
}

/// Refuses a tensor that 32-bit indices do not reach.
inline void require_indexable(std::int64_t elements) { static_cast<void>(over(elements)); }

/// One thread per `group` elements; the limit on indices holds for the elements.
inline Launch over_groups(std::int64_t elements, std::int64_t group, unsigned block = 256) {
    require_indexable(elements);
    return over((elements + group - 1) / group, block);
}

/// n / d for n < 2^31 by one multiplication: with p = 31 + ceil(log2 d) and m = ceil(2^p / d) < 2^32, the error
/// m d - 2^p is below 2^(p-31), so n (m d - 2^p) < 2^p and floor(n m / 2^p) is exact.
class Divisor {
public:
    /// d = 0 divides as 1 does: an empty tensor has no index to divide.
    explicit Divisor(unsigned d) : d_(d == 0 ? 1 : d) {
        while ((std::uint64_t{1} << (shift_ - 31)) < d_) {
            ++shift_;
        }
        multiplier_ = static_cast<unsigned>(((std::uint64_t{1} << shift_) + d_ - 1) / d_);
    }
    FER_DEVICE unsigned divide(unsigned n) const {
        return static_cast<unsigned>(std::uint64_t{n} * multiplier_ >> shift_);
    }
    /// n becomes the quotient, the remainder is returned: peels the fastest coordinate off a flat index.
    FER_DEVICE unsigned peel(unsigned& n) const {
        const unsigned quotient = divide(n);
        const unsigned remainder = n - quotient * d_;
        n = quotient;
        return remainder;
    }

private:
    unsigned d_, multiplier_ = 0, shift_ = 31;
};

/// Where an element of an (n, h, w, c) tensor stands; `channel` is the first of a group of them.
struct NhwcPlace {
    unsigned n, row, column, channel;
};

/// Flat indices over (n, h, w, groups of `group` channels).
class NhwcPlaces {
public:
    NhwcPlaces(int h, int w, int c, int group)
        : group_(static_cast<unsigned>(group)),
          groups_((static_cast<unsigned>(c) + group_ - 1) / group_),
          columns_(static_cast<unsigned>(w)),
          rows_(static_cast<unsigned>(h)) {}

    FER_DEVICE NhwcPlace at(unsigned i) const {
        NhwcPlace place;
        place.channel = groups_.peel(i) * group_;
        place.column = columns_.peel(i);
        place.row = rows_.peel(i);
        place.n = i;
        return place;
    }

private:
    unsigned group_;
    Divisor groups_, columns_, rows_;
};

/// N elements as floats, in accesses of 16 bytes where N is long enough.
template <int N, class T>
FER_DEVICE void load_floats(float (&out)[N], const T* p) {
    constexpr int kStep = N < kVector<T> ? N : kVector<T>;
#pragma unroll
    for (int i = 0; i < N; i += kStep) {
        const Vector<T, kStep> v = load<kStep>(p + i);
#pragma unroll
        for (int j = 0; j < kStep; ++j) {
            out[i + j] = to_float(v[j]);
        }
    }
}

template <int N, class T>
FER_DEVICE void store_floats(T* p, const float (&values)[N]) {
    constexpr int kStep = N < kVector<T> ? N : kVector<T>;
#pragma unroll
    for (int i = 0; i < N; i += kStep) {
        Vector<T, kStep> v;
#pragma unroll
        for (int j = 0; j < kStep; ++j) {
            v[j] = from_float<T>(values[i + j]);
        }
        store(p + i, v);
    }
}

/// The first `valid` of N elements, one by one; the others become zero.
template <int N, class T>
FER_DEVICE void load_floats(float (&out)[N], const T* p, int valid) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
        out[i] = i < valid ? to_float(p[i]) : 0.0f;
    }
}

template <int N, class T>
FER_DEVICE void store_floats(T* p, const float (&values)[N], int valid) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
        if (i < valid) {
            p[i] = from_float<T>(values[i]);
        }
    }
}

FER_DEVICE float activate(float v, Activation activation) {
    if (activation == Activation::kNone) {
        return v;
    }
    v = v < 0.0f ? 0.0f : v;
    return activation == Activation::kRelu6 && v > 6.0f ? 6.0f : v;
}

/// Whether the gradient passes an activation whose output was y.
FER_DEVICE bool passes(float y, Activation activation) {
    return activation == Activation::kNone || (y > 0.0f && (activation == Activation::kRelu || y < 6.0f));
}

}  // namespace fer::FER_PORT

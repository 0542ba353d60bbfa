// Conversion between storage types.
#include "kernels/cast.hpp"

#include <type_traits>

#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

struct CastArgs {
    Cast a;
    unsigned count;
    bool vectors;
};

template <class To>
FER_DEVICE To convert(float v) {
    if constexpr (std::is_same_v<To, std::uint8_t>) {
        return static_cast<std::uint8_t>(__float2int_rn(fminf(fmaxf(v, 0.0f), 255.0f)));  // fmaxf(NaN, 0) is 0
    } else {
        return from_float<To>(v);
    }
}

/// As many elements as fill 16 bytes of the longer type.
template <class From, class To>
inline constexpr int kGroup = static_cast<int>(16 / (sizeof(From) > sizeof(To) ? sizeof(From) : sizeof(To)));

template <class From, class To>
__global__ void __launch_bounds__(256) cast_kernel(CastArgs s) {
    wait_for_previous();
    constexpr unsigned kN = kGroup<From, To>;
    const From* const x = static_cast<const From*>(s.a.x);
    To* const y = static_cast<To*>(s.a.y);
    const unsigned groups = (s.count + kN - 1) / kN;
    for (unsigned group = grid_thread(); group < groups; group += grid_threads()) {
        const unsigned first = group * kN;
        if (s.vectors && s.count - first >= kN) {
            const Vector<From, kN> in = load<kN>(x + first);
            Vector<To, kN> out;
#pragma unroll
            for (unsigned i = 0; i < kN; ++i) {
                out[i] = convert<To>(to_float(in[i]));
            }
            store(y + first, out);
        } else {
            for (unsigned i = first; i < s.count && i < first + kN; ++i) {
                y[i] = convert<To>(to_float(x[i]));
            }
        }
    }
}

template <class Body>
void by_type(DType dtype, Body body) {
    if (dtype == DType::kU8) {
        return body(std::uint8_t{});
    }
    by_float_type(dtype, "cast", body);
}

}  // namespace

void cast(const Cast& a, cudaStream_t stream) {
    const CastArgs args{a, static_cast<unsigned>(a.count), is_aligned(a.x) && is_aligned(a.y)};
    by_type(a.from, [&]<class From>(From) {
        by_type(a.to, [&]<class To>(To) {
            launch(cast_kernel<From, To>, over_groups(a.count, kGroup<From, To>), stream, args);
        });
    });
}

}  // namespace fer::FER_PORT

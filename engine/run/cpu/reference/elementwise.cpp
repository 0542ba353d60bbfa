// Element by element: activations, dropout, L2, casts.
#include <bit>
#include <cstring>
#include <type_traits>
#include <vector>

#include "engine/core/random.hpp"
#include "engine/run/cpu/reference/kernels.hpp"
#include "engine/run/cpu/reference/typed.hpp"

namespace fer::cpu::reference {

Kernel relu(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const T* x = t.input<T>(0);
        T* y = t.output<T>(0);
        parallel_ranges(op.in[0].shape.count(), [=](std::int64_t begin, std::int64_t end) {
            for (std::int64_t i = begin; i < end; ++i) {
                y[i] = x[i] < T{0} ? T{0} : x[i];  // NaN stays NaN
            }
        });
    });
}

Kernel relu6(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const T* x = t.input<T>(0);
        T* y = t.output<T>(0);
        parallel_ranges(op.in[0].shape.count(), [=](std::int64_t begin, std::int64_t end) {
            for (std::int64_t i = begin; i < end; ++i) {
                y[i] = x[i] < T{0} ? T{0} : (x[i] > T{6} ? T{6} : x[i]);
            }
        });
    });
}

// dx = dy where y > 0
Kernel relu_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const T* dy = t.input<T>(0);
        const T* y = t.input<T>(1);
        T* dx = t.output<T>(0);
        parallel_ranges(op.in[0].shape.count(), [=](std::int64_t begin, std::int64_t end) {
            for (std::int64_t i = begin; i < end; ++i) {
                const T d = dy[i];  // read in any case: a conditional load would not vectorise
                dx[i] = y[i] > T{0} ? d : T{0};
            }
        });
    });
}

// dx = dy where 0 < y < 6
Kernel relu6_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const T* dy = t.input<T>(0);
        const T* y = t.input<T>(1);
        T* dx = t.output<T>(0);
        parallel_ranges(op.in[0].shape.count(), [=](std::int64_t begin, std::int64_t end) {
            for (std::int64_t i = begin; i < end; ++i) {
                const T d = dy[i];
                dx[i] = (y[i] > T{0}) & (y[i] < T{6}) ? d : T{0};
            }
        });
    });
}

namespace {

constexpr std::int64_t kDropoutRange = 4096;  // of parallel_ranges(), a multiple of four

/// Where uniform(seed, step, stream, 4*first + i) >= rate, i < 4*blocks, masks[i] is -1, else 0. Compiled for wider
/// vectors too: ten rounds of integer multiplies are most of what dropout costs.
__attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4"))) void draw_masks(
    std::uint64_t seed, std::uint64_t step, std::uint32_t stream, std::uint32_t first, std::uint32_t blocks, float rate,
    std::int32_t* masks) {
    std::uint64_t pairs[kDropoutRange / 2];
#pragma omp simd
    for (std::uint32_t b = 0; b < blocks; ++b) {
        const auto four = random_words<std::uint64_t>(seed, step, stream, first + b);
        pairs[2 * b] = four.v[0] | four.v[1] << 32;
        pairs[2 * b + 1] = four.v[2] | four.v[3] << 32;
    }
    std::memcpy(masks, pairs, 16 * std::size_t{blocks});
    for (std::uint32_t i = 0; i < 4 * blocks; ++i) {
        masks[i] = uniform01(static_cast<std::uint32_t>(masks[i])) >= rate ? -1 : 0;
    }
}

}  // namespace

// y = x / (1 - rate) where uniform(seed, step, stream, element) >= rate, else 0
Kernel dropout(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<DropoutAttrs>();
        const auto* clock = t.input<std::int64_t>(1);
        const T scale = T{1} / (T{1} - static_cast<T>(attrs.rate));
        const T* x = t.input<T>(0);
        T* y = t.output<T>(0);
        parallel_ranges(op.in[0].shape.count(), [=](std::int64_t begin, std::int64_t end) {
            std::int32_t masks[kDropoutRange];
            draw_masks(static_cast<std::uint64_t>(clock[kClockSeed]), static_cast<std::uint64_t>(clock[kClockStep]),
                       attrs.stream, static_cast<std::uint32_t>(begin / 4),
                       static_cast<std::uint32_t>((end - begin + 3) / 4), attrs.rate, masks);
            for (std::int64_t i = begin; i < end; ++i) {
                using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
                y[i] = std::bit_cast<T>(std::bit_cast<Bits>(x[i] * scale) & static_cast<Bits>(masks[i - begin]));
            }
        });
    });
}

namespace {

/// Sum of squares in an order that does not depend on the number of threads.
template <class T>
double sum_of_squares(const T* x, std::int64_t count) {
    constexpr std::int64_t kPart = 1 << 16;
    std::vector<double> parts(static_cast<std::size_t>((count + kPart - 1) / kPart), 0.0);
    parallel(static_cast<std::int64_t>(parts.size()), [&](std::int64_t p) {
        double sum = 0;
        for (std::int64_t i = p * kPart; i < std::min(count, (p + 1) * kPart); ++i) {
            sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
        }
        parts[static_cast<std::size_t>(p)] = sum;
    });
    double sum = 0;
    for (const double part : parts) {
        sum += part;
    }
    return sum;
}

}  // namespace

Kernel l2_penalty(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        double sum = 0;
        for (std::size_t i = 0; i < op.in.size(); ++i) {
            sum += sum_of_squares(t.input<T>(i), op.in[i].shape.count());
        }
        *t.output<T>(0) = static_cast<T>(sum * static_cast<double>(op.as<ScalarAttrs>().value));
    });
}

Kernel l2_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const T factor = T{2} * static_cast<T>(op.as<ScalarAttrs>().value) * *t.input<T>(1);
        const T* w = t.input<T>(0);
        const bool adds = !op.state.empty();
        T* dw = adds ? t.updated<T>(0) : t.output<T>(0);
        parallel_ranges(op.in[0].shape.count(), [=](std::int64_t begin, std::int64_t end) {
            for (std::int64_t i = begin; i < end; ++i) {
                const T d = factor * w[i];
                dw[i] = adds ? dw[i] + d : d;
            }
        });
    });
}

namespace {

template <class From, class To>
void convert(const OpDesc& op, const Operands& t) {
    const From* x = t.input<From>(0);
    To* y = t.output<To>(0);
    parallel_ranges(op.in[0].shape.count(), [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            y[i] = static_cast<To>(x[i]);
        }
    });
}

template <class From>
Kernel convert_from(const OpDesc& op) {
    switch (op.as<CastAttrs>().to) {
        case DType::kF32:
            return [op](const Operands& t) { convert<From, float>(op, t); };
        case DType::kF64:
            return [op](const Operands& t) { convert<From, double>(op, t); };
        default:
            throw UsageError(fmt::format("the CPU casts to f32 and f64, not {}", name_of(op.as<CastAttrs>().to)));
    }
}

}  // namespace

Kernel cast(const OpDesc& op) {
    switch (op.in[0].dtype) {
        case DType::kU8:
            return convert_from<std::uint8_t>(op);
        case DType::kI32:
            return convert_from<std::int32_t>(op);
        case DType::kF32:
            return convert_from<float>(op);
        case DType::kF64:
            return convert_from<double>(op);
        default:
            throw UsageError(fmt::format("the CPU does not cast from {}", name_of(op.in[0].dtype)));
    }
}

Kernel constant(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        std::fill_n(t.output<T>(0), op.out[0].shape.count(), static_cast<T>(op.as<ScalarAttrs>().value));
    });
}

}  // namespace fer::cpu::reference

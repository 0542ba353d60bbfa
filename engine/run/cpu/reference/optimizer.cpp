// Keras 2.15's update rules, t = step + 1, g the gradient, lr the learning rate times the node's factor in float32:
//     Adam     m += (g - m)(1 - b1);  v += (g^2 - v)(1 - b2);  w -= m * alpha / (sqrt(v) + eps),
//              alpha = lr * sqrt(1 - b2^t) / (1 - b1^t); eps is added to the uncorrected root
//     SGD      m = mu m - lr g;  w += m, or with Nesterov w += mu m - lr g
//     RMSprop  v = rho v + (1 - rho) g^2;  d = lr g / sqrt(v + eps);  w -= d, or m = mu m + d;  w -= m
//     EMA      a = decay a + (1 - decay) w
// and what stands before them: the schedule of the learning rate, sums over several steps, clipping.
// Then the 16-bit copies of the parameters, if the node keeps any, are rounded from them.
// With a loss scale (op.hpp) g is the gradient divided by it, skipped steps do not count, and an overflow changes
// nothing.
#include <bit>

#include "engine/run/cpu/reference/kernels.hpp"
#include "engine/run/cpu/reference/typed.hpp"

namespace fer::cpu::reference {
namespace {

double learning_rate(const Operands& t, float factor) { return static_cast<double>(*t.input<float>(0) * factor); }
/// typed() by the gradients: the learning rate, the first input, is float32 whatever the step computes in.
template <class Body>
Kernel typed_by_gradients(const OpDesc& op, Body body) {
    if (op.in.back().dtype == DType::kF64) {
        return [op, body](const Operands& t) { body(double{}, op, t); };
    }
    return [op, body](const Operands& t) { body(float{}, op, t); };
}

/// typed() by what is updated in place.
template <class Body>
Kernel typed_by_state(const OpDesc& op, Body body) {
    if (op.state.front().dtype == DType::kF64) {
        return [op, body](const Operands& t) { body(double{}, op, t); };
    }
    return [op, body](const Operands& t) { body(float{}, op, t); };
}

LossScaleState scale_of(const OpDesc& op, const Operands& t) {
    return has_loss_scale(op.in) ? *t.input<LossScaleState>(2) : LossScaleState{.scale = 1};
}

double next_step(const OpDesc& op, const Operands& t) {
    const auto* clock = t.input<std::int64_t>(1);
    return static_cast<double>(clock[kClockStep] - clock[kClockHeld] + 1 - scale_of(op, t).skipped);
}

std::size_t gradient_count(const OpDesc& op) { return op.in.size() - first_gradient(op.in); }

/// Nearest, ties to even; beyond the largest finite value infinity; NaN stays NaN.
std::uint16_t to_bf16(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    if (std::isnan(x)) {
        return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
    }
    return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
std::uint16_t to_f16(float x) {
    const auto sign = static_cast<std::uint16_t>(std::signbit(x) ? 0x8000u : 0u);
    const float size = std::abs(x);
    if (std::isnan(x) || size >= 65520.0f) {
        return sign | (std::isnan(x) ? 0x7e00u : 0x7c00u);
    }
    // Steps of 2^-24 below 2^-14, above as wide as 10 bits of mantissa leave them.
    const int exponent = std::max(size == 0.0f ? -14 : std::ilogb(size), -14);
    const auto steps = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(size, 10 - exponent)));
    return static_cast<std::uint16_t>(sign + steps + (static_cast<std::uint32_t>(exponent + 14) << 10));
}

/// The copies behind all other state.
void copy_to_shadows(const OpDesc& op, const Operands& t, std::size_t count) {
    const std::size_t first = op.state.size() - count;
    for (std::size_t k = 0; k < count; ++k) {
        const bool brain = op.state[first + k].dtype == DType::kBF16;
        const float* w = t.updated<float>(k);
        std::transform(w, w + op.state[k].shape.count(), t.updated<std::uint16_t>(first + k), brain ? to_bf16 : to_f16);
    }
}

/// body(tensor, i, gradient) for every element of every gradient; state holds parameters, then moments.
template <class T, class Body>
void for_gradients(const OpDesc& op, const Operands& t, Body body) {
    const LossScaleState scale = scale_of(op, t);
    if (scale.overflow != 0) {
        return;
    }
    const T inverse = T{1} / static_cast<T>(scale.scale);  // exact: scales are powers of two
    const std::size_t first = first_gradient(op.in);
    for (std::size_t k = 0; k < gradient_count(op); ++k) {
        const T* __restrict g = t.input<T>(first + k);
        parallel_ranges(op.in[first + k].shape.count(), [&](std::int64_t begin, std::int64_t end) {
            body(k, begin, end, [g, inverse](std::int64_t i) { return g[i] * inverse; });
        });
    }
    if (has_shadows(op.state)) {
        copy_to_shadows(op, t, gradient_count(op));
    }
}

/// Moments per parameter.
std::size_t moment_count(const OpDesc& op) {
    return op.state.size() / gradient_count(op) - (has_shadows(op.state) ? 2 : 1);
}

}  // namespace

Kernel adam(const OpDesc& desc) {
    return typed_by_gradients(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<AdamAttrs>();
        const double step = next_step(op, t);
        const T alpha =
            static_cast<T>(learning_rate(t, attrs.rate_factor) * std::sqrt(1.0 - std::pow(attrs.beta2, step)) /
                           (1.0 - std::pow(attrs.beta1, step)));
        const T rate1 = static_cast<T>(1.0 - attrs.beta1);
        const T rate2 = static_cast<T>(1.0 - attrs.beta2);
        const T epsilon = static_cast<T>(attrs.epsilon);
        const std::size_t count = gradient_count(op);
        for_gradients<T>(op, t, [&](std::size_t k, std::int64_t begin, std::int64_t end, auto gradient) {
            T* __restrict w = t.updated<T>(k);
            T* __restrict m = t.updated<T>(count + k);
            T* __restrict v = t.updated<T>(2 * count + k);
            for (std::int64_t i = begin; i < end; ++i) {
                const T g = gradient(i);
                m[i] += (g - m[i]) * rate1;
                v[i] += (g * g - v[i]) * rate2;
                w[i] -= m[i] * alpha / (std::sqrt(v[i]) + epsilon);
            }
        });
    });
}

Kernel sgd(const OpDesc& desc) {
    return typed_by_gradients(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<SgdAttrs>();
        const T lr = static_cast<T>(learning_rate(t, attrs.rate_factor));
        const T mu = static_cast<T>(attrs.momentum);
        const std::size_t count = gradient_count(op);
        for_gradients<T>(op, t, [&](std::size_t k, std::int64_t begin, std::int64_t end, auto gradient) {
            T* w = t.updated<T>(k);
            T* m = moment_count(op) > 0 ? t.updated<T>(count + k) : nullptr;
            for (std::int64_t i = begin; i < end; ++i) {
                T d = -lr * gradient(i);
                if (m != nullptr) {
                    m[i] = mu * m[i] + d;
                    d = attrs.nesterov ? mu * m[i] + d : m[i];
                }
                w[i] += d;
            }
        });
    });
}

Kernel rmsprop(const OpDesc& desc) {
    return typed_by_gradients(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<RmsPropAttrs>();
        const T lr = static_cast<T>(learning_rate(t, attrs.rate_factor));
        const T rho = static_cast<T>(attrs.rho);
        const T rate = static_cast<T>(1.0 - attrs.rho);
        const T epsilon = static_cast<T>(attrs.epsilon);
        const T mu = static_cast<T>(attrs.momentum);
        const std::size_t count = gradient_count(op);
        for_gradients<T>(op, t, [&](std::size_t k, std::int64_t begin, std::int64_t end, auto gradient) {
            T* w = t.updated<T>(k);
            T* v = t.updated<T>(count + k);
            T* m = moment_count(op) > 1 ? t.updated<T>(2 * count + k) : nullptr;
            for (std::int64_t i = begin; i < end; ++i) {
                const T g = gradient(i);
                v[i] = rho * v[i] + rate * g * g;
                T d = lr * g / std::sqrt(v[i] + epsilon);
                if (m != nullptr) {
                    m[i] = mu * m[i] + d;
                    d = m[i];
                }
                w[i] -= d;
            }
        });
    });
}

namespace {

float ema_decay(const OpDesc& op, const Operands& t) {
    const float decay = op.as<ScalarAttrs>().value;
    if (!ema_warms_up(op)) {
        return decay;
    }
    const auto* clock = t.input<std::int64_t>(op.in.size() - 1);
    const auto update = static_cast<double>(clock[kClockStep] - clock[kClockHeld]);
    return std::min(decay, static_cast<float>((1 + update) / (10 + update)));
}

}  // namespace

Kernel ema(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const T decay = static_cast<T>(ema_decay(op, t));
        for (std::size_t k = 0; k < op.state.size(); ++k) {
            const T* w = t.input<T>(k);
            T* average = t.updated<T>(k);
            parallel_ranges(op.in[k].shape.count(), [=](std::int64_t begin, std::int64_t end) {
                for (std::int64_t i = begin; i < end; ++i) {
                    average[i] = decay * average[i] + (T{1} - decay) * w[i];
                }
            });
        }
    });
}

Kernel schedule(const OpDesc& desc) {
    return [schedule = desc.as<Schedule>()](const Operands& t) {
        const auto* clock = t.input<std::int64_t>(1);
        const double factor = schedule_factor(schedule, clock[kClockStep] - clock[kClockHeld]);
        *t.output<float>(0) = static_cast<float>(learning_rate(t, 1) * factor);
    };
}

// sum += images * g; where it is taken g = sum / all images, and sums and images are zero again.
Kernel accumulate(const OpDesc& desc) {
    return typed_by_state(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<AccumulateAttrs>();
        const std::size_t count = op.state.size() / 2 - 1;
        float* images = t.updated<float>(2 * count);
        const auto batch = static_cast<float>(attrs.batch);
        const float all = *images + batch;
        for (std::size_t k = 0; k < count; ++k) {
            T* g = t.updated<T>(k);
            T* sum = t.updated<T>(count + k);
            parallel_ranges(op.state[k].shape.count(), [&, g, sum](std::int64_t begin, std::int64_t end) {
                for (std::int64_t i = begin; i < end; ++i) {
                    const T s = sum[i] + static_cast<T>(batch) * g[i];
                    g[i] = attrs.take ? s / static_cast<T>(all) : g[i];
                    sum[i] = attrs.take ? T{0} : s;
                }
            });
        }
        *images = attrs.take ? 0 : all;
        t.updated<std::int64_t>(op.state.size() - 1)[kClockHeld] += attrs.take ? 0 : 1;
    });
}

// As tf.clip_by_global_norm: g * min(1, limit / norm), and NaN if the norm is not finite. Gradients that are scaled
// stay so.
Kernel clip_gradients(const OpDesc& desc) {
    return typed_by_state(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<ClipAttrs>();
        const double scale = op.in.empty() ? 1.0 : static_cast<double>(t.input<LossScaleState>(0)->scale);
        double squares = 0;
        for (std::size_t k = 0; attrs.norm > 0 && k < op.state.size(); ++k) {
            const T* g = t.updated<T>(k);
            for (std::int64_t i = 0; i < op.state[k].shape.count(); ++i) {
                squares += static_cast<double>(g[i]) * static_cast<double>(g[i]);
            }
        }
        const double norm = std::sqrt(squares) / scale;
        const double limit = static_cast<double>(attrs.norm);
        const T factor = static_cast<T>(!std::isfinite(norm) ? std::nan("") : norm > limit ? limit / norm : 1.0);
        const T most = static_cast<T>(static_cast<double>(attrs.value) * scale);
        for (std::size_t k = 0; k < op.state.size(); ++k) {
            T* g = t.updated<T>(k);
            parallel_ranges(op.state[k].shape.count(), [=](std::int64_t begin, std::int64_t end) {
                for (std::int64_t i = begin; i < end; ++i) {
                    const T held = g[i] < -most ? -most : g[i] > most ? most : g[i];  // NaN stays
                    g[i] = attrs.norm > 0 ? g[i] * factor : held;
                }
            });
        }
    });
}

Kernel loss_scale(const OpDesc&) {
    return [](const Operands& t) { *t.output<float>(0) = t.input<LossScaleState>(0)->scale; };
}

Kernel check_gradients(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        for (std::size_t k = 0; k < op.in.size(); ++k) {
            const T* g = t.input<T>(k);
            if (!std::all_of(g, g + op.in[k].shape.count(), [](T v) { return std::isfinite(v); })) {
                t.updated<LossScaleState>(0)->overflow = 1;
            }
        }
    });
}

Kernel update_loss_scale(const OpDesc&) {
    return [](const Operands& t) {
        constexpr int kInterval = 2000;
        constexpr float kLeast = 1;
        constexpr float kMost = 16777216;
        LossScaleState& s = *t.updated<LossScaleState>(0);
        if (s.overflow != 0) {
            s.scale = std::max(kLeast, s.scale / 2);
            s.skipped += 1;
            s.good = 0;
        } else if (++s.good == kInterval) {
            s.scale = std::min(kMost, s.scale * 2);
            s.good = 0;
        }
        s.overflow = 0;
    };
}

}  // namespace fer::cpu::reference

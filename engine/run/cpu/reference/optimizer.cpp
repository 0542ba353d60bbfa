// Keras 2.15's update rules, t = step + 1, g the gradient:
//     Adam     m += (g - m)(1 - b1);  v += (g^2 - v)(1 - b2);  w -= m * alpha / (sqrt(v) + eps),
//              alpha = lr * sqrt(1 - b2^t) / (1 - b1^t); eps is added to the uncorrected root
//     SGD      m = mu m - lr g;  w += m, or with Nesterov w += mu m - lr g
//     RMSprop  v = rho v + (1 - rho) g^2;  d = lr g / sqrt(v + eps);  w -= d, or m = mu m + d;  w -= m
//     EMA      a = decay a + (1 - decay) w
#include "engine/run/cpu/reference/kernels.hpp"
#include "engine/run/cpu/reference/typed.hpp"

namespace fer::cpu::reference {
namespace {

double learning_rate(const Operands& t) { return static_cast<double>(*t.input<float>(0)); }
/// typed() by the gradients: the learning rate, the first input, is float32 whatever the step computes in.
template <class Body>
Kernel typed_by_gradients(const OpDesc& op, Body body) {
    if (op.in[2].dtype == DType::kF64) {
        return [op, body](const Operands& t) { body(double{}, op, t); };
    }
    return [op, body](const Operands& t) { body(float{}, op, t); };
}

double next_step(const Operands& t) { return static_cast<double>(t.input<std::int64_t>(1)[kClockStep] + 1); }

/// body(tensor, begin, end) over all gradients, which are inputs 2, 3, ...; state holds parameters, then moments.
template <class Body>
void for_gradients(const OpDesc& op, Body body) {
    for (std::size_t k = 0; k + 2 < op.in.size(); ++k) {
        parallel_ranges(op.in[k + 2].shape.count(), [&](std::int64_t begin, std::int64_t end) { body(k, begin, end); });
    }
}

}  // namespace

Kernel adam(const OpDesc& desc) {
    return typed_by_gradients(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<AdamAttrs>();
        const double step = next_step(t);
        const T alpha = static_cast<T>(learning_rate(t) * std::sqrt(1.0 - std::pow(attrs.beta2, step)) /
                                       (1.0 - std::pow(attrs.beta1, step)));
        const T rate1 = static_cast<T>(1.0 - attrs.beta1);
        const T rate2 = static_cast<T>(1.0 - attrs.beta2);
        const T epsilon = static_cast<T>(attrs.epsilon);
        const std::size_t count = op.in.size() - 2;
        for_gradients(op, [&](std::size_t k, std::int64_t begin, std::int64_t end) {
            const T* __restrict g = t.input<T>(k + 2);
            T* __restrict w = t.updated<T>(k);
            T* __restrict m = t.updated<T>(count + k);
            T* __restrict v = t.updated<T>(2 * count + k);
            for (std::int64_t i = begin; i < end; ++i) {
                m[i] += (g[i] - m[i]) * rate1;
                v[i] += (g[i] * g[i] - v[i]) * rate2;
                w[i] -= m[i] * alpha / (std::sqrt(v[i]) + epsilon);
            }
        });
    });
}

Kernel sgd(const OpDesc& desc) {
    return typed_by_gradients(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<SgdAttrs>();
        const T lr = static_cast<T>(learning_rate(t));
        const T mu = static_cast<T>(attrs.momentum);
        const std::size_t count = op.in.size() - 2;
        for_gradients(op, [&](std::size_t k, std::int64_t begin, std::int64_t end) {
            const T* g = t.input<T>(k + 2);
            T* w = t.updated<T>(k);
            T* m = op.state.size() > count ? t.updated<T>(count + k) : nullptr;
            for (std::int64_t i = begin; i < end; ++i) {
                T d = -lr * g[i];
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
        const T lr = static_cast<T>(learning_rate(t));
        const T rho = static_cast<T>(attrs.rho);
        const T rate = static_cast<T>(1.0 - attrs.rho);
        const T epsilon = static_cast<T>(attrs.epsilon);
        const T mu = static_cast<T>(attrs.momentum);
        const std::size_t count = op.in.size() - 2;
        for_gradients(op, [&](std::size_t k, std::int64_t begin, std::int64_t end) {
            const T* g = t.input<T>(k + 2);
            T* w = t.updated<T>(k);
            T* v = t.updated<T>(count + k);
            T* m = op.state.size() > 2 * count ? t.updated<T>(2 * count + k) : nullptr;
            for (std::int64_t i = begin; i < end; ++i) {
                v[i] = rho * v[i] + rate * g[i] * g[i];
                T d = lr * g[i] / std::sqrt(v[i] + epsilon);
                if (m != nullptr) {
                    m[i] = mu * m[i] + d;
                    d = m[i];
                }
                w[i] -= d;
            }
        });
    });
}

Kernel ema(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const T decay = static_cast<T>(op.as<ScalarAttrs>().value);
        for (std::size_t k = 0; k < op.in.size(); ++k) {
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

}  // namespace fer::cpu::reference

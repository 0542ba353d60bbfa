// Batch normalization over all axes but the last, Keras 2.15:
//     y = gamma * (x - mean) / sqrt(variance + epsilon) + beta
// Training takes the batch's mean and biased variance (two passes), and moves the running statistics:
//     moving = moving * momentum + batch * (1 - momentum)
// where the batch variance is unbiased (n/(n-1)) for images and biased for vectors, as Keras 2.15 has it.
// A residual is added to y, then comes the activation; its gradient passes where 0 < y (< 6).
#include "engine/run/cpu/reference/kernels.hpp"
#include "engine/run/cpu/reference/statistics.hpp"
#include "engine/run/cpu/reference/typed.hpp"

namespace fer::cpu::reference {
namespace {

double activate(double y, Activation activation) {
    switch (activation) {
        case Activation::kRelu:
            return y < 0 ? 0 : y;  // NaN stays
        case Activation::kRelu6:
            return y < 0 ? 0 : y > 6 ? 6 : y;
        case Activation::kNone:
            break;
    }
    return y;
}

bool passes(double y, Activation activation) {
    return activation == Activation::kNone || (y > 0 && (activation == Activation::kRelu || y < 6));
}

}  // namespace

namespace {

/// Channel k of x, normalized with the batch's statistics, which are stored and move the running ones, or with given
/// ones.
template <class T>
struct Normalizer {
    Normalizer(const OpDesc& op, const Operands& t, std::size_t mean_output, std::int64_t k) : x(t.input<T>(0)) {
        const auto& attrs = op.as<BatchNormAttrs>();
        c = op.in[0].shape.back();
        channel = k;
        const Moments m = op.state.empty()
                              ? Moments{static_cast<double>(t.input<T>(3)[k]), static_cast<double>(t.input<T>(4)[k])}
                              : take_statistics(x, op.in[0].shape.count() / c, c, k, t, mean_output, attrs.momentum,
                                                op.in[0].shape.rank() == 4);
        mean = m.mean;
        scale = static_cast<double>(t.input<T>(1)[k]) / std::sqrt(m.variance + attrs.epsilon);
        shift = static_cast<double>(t.input<T>(2)[k]);
    }
    double operator()(std::int64_t row) const {
        return (static_cast<double>(x[row * c + channel]) - mean) * scale + shift;
    }

    const T* x;
    std::int64_t c, channel;
    double mean, scale, shift;
};

}  // namespace

Kernel batch_norm(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const Activation activation = op.as<BatchNormAttrs>().activation;
        const std::int64_t c = op.in[0].shape.back();
        const T* residual = op.in.size() == 4 ? t.input<T>(3) : nullptr;
        T* y = t.output<T>(0);
        parallel(c, [&](std::int64_t k) {
            const Normalizer<T> normal(op, t, 1, k);
            for (std::int64_t i = k; i < op.in[0].shape.count(); i += c) {
                const double added = residual == nullptr ? 0 : static_cast<double>(residual[i]);
                y[i] = static_cast<T>(activate(normal(i / c) + added, activation));
            }
        });
    });
}

// The first of equals wins, NaN wins over numbers; an odd last row or column belongs to no window.
Kernel batch_norm_pool(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const Activation activation = op.as<BatchNormAttrs>().activation;
        const Nhwc x(op.in[0].shape);
        const Nhwc p(op.out[0].shape);
        parallel(x.c, [&](std::int64_t k) {
            const Normalizer<T> normal(op, t, 2, k);
            for (std::int64_t window = 0; window < p.n * p.h * p.w; ++window) {
                const std::int64_t n = window / (p.h * p.w), h = window / p.w % p.h, w = window % p.w;
                T best{};
                int winner = -1;
                for (int place = 0; place < 4; ++place) {
                    const std::int64_t row = x(n, 2 * h + place / 2, 2 * w + place % 2) / x.c;
                    const T v = static_cast<T>(activate(normal(row), activation));
                    if (winner < 0 || v > best || (std::isnan(v) && !std::isnan(best))) {
                        best = v;
                        winner = place;
                    }
                }
                t.output<T>(0)[p(n, h, w, k)] = best;
                t.output<std::uint8_t>(1)[p(n, h, w, k)] = static_cast<std::uint8_t>(winner);
            }
        });
    });
}

namespace {

/// Inputs of a gradient node by position: the pooled one has others.
struct GradientInputs {
    std::size_t x, gamma, mean, variance;
};

//     inv_std = 1 / sqrt(variance + epsilon),  xhat = (x - mean) * inv_std
//     dbeta = sum dz,  dgamma = sum dz * xhat,  dx = gamma * inv_std * (dz - dbeta/n - xhat * dgamma/n)
/// dz(i): gradient of what the activation was applied to, element i of x. keep(i, dz): what else is done with it.
template <class T, class Dz, class Keep>
void gradient(const OpDesc& op, const Operands& t, const GradientInputs& in, Dz dz, Keep keep) {
    const auto& attrs = op.as<BatchNormAttrs>();
    const std::int64_t count = op.in[in.x].shape.count();
    const std::int64_t c = op.in[in.x].shape.back();
    const T* x = t.input<T>(in.x);
    T* dx = t.output<T>(0);
    parallel(c, [&](std::int64_t k) {
        const auto mean = static_cast<double>(t.input<T>(in.mean)[k]);
        const double inv_std = 1.0 / std::sqrt(static_cast<double>(t.input<T>(in.variance)[k]) + attrs.epsilon);
        double dbeta = 0;
        double dgamma = 0;
        for (std::int64_t i = k; i < count; i += c) {
            const double d = dz(i);
            dbeta += d;
            dgamma += d * (static_cast<double>(x[i]) - mean) * inv_std;
        }
        const double scale = static_cast<double>(t.input<T>(in.gamma)[k]) * inv_std;
        const auto n = static_cast<double>(count / c);
        for (std::int64_t i = k; i < count; i += c) {
            const double xhat = (static_cast<double>(x[i]) - mean) * inv_std;
            const double d = dz(i);
            const bool blocked = attrs.relu_input && !(x[i] > 0);
            dx[i] = blocked ? T{0} : static_cast<T>(scale * (d - dbeta / n - xhat * dgamma / n));
            keep(i, d);
        }
        t.output<T>(1)[k] = static_cast<T>(dgamma);
        t.output<T>(2)[k] = static_cast<T>(dbeta);
    });
}

}  // namespace

Kernel batch_norm_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<BatchNormAttrs>();
        const T* dy = t.input<T>(0);
        const T* y = op.in.size() == 7 ? t.input<T>(6) : nullptr;
        T* dresidual = attrs.residual ? t.output<T>(3) : nullptr;
        gradient<T>(
            op, t, {1, 2, 3, 4},
            [&](std::int64_t i) {
                const bool there = y == nullptr || passes(static_cast<double>(y[i]), attrs.activation);
                return there ? static_cast<double>(dy[i]) : 0.0;
            },
            [&](std::int64_t i, double d) {
                if (dresidual != nullptr) {
                    dresidual[i] = static_cast<T>(d);
                }
            });
    });
}

// dz is dp at the winners, and zero elsewhere.
Kernel batch_norm_pool_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const Activation activation = op.as<BatchNormAttrs>().activation;
        const Nhwc x(op.in[3].shape);
        const Nhwc p(op.in[0].shape);
        gradient<T>(
            op, t, {3, 4, 5, 6},
            [&](std::int64_t i) {
                const std::int64_t k = i % x.c, w = i / x.c % x.w, h = i / (x.c * x.w) % x.h, n = i / (x.c * x.w * x.h);
                if (h / 2 >= p.h || w / 2 >= p.w) {
                    return 0.0;
                }
                const std::int64_t at = p(n, h / 2, w / 2, k);
                const bool won = t.input<std::uint8_t>(2)[at] == h % 2 * 2 + w % 2;
                const bool there = won && passes(static_cast<double>(t.input<T>(1)[at]), activation);
                return there ? static_cast<double>(t.input<T>(0)[at]) : 0.0;
            },
            [](std::int64_t, double) {});
    });
}

Kernel batch_norm_inference(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<BatchNormAttrs>();
        const std::int64_t c = op.in[0].shape.back();
        const T* x = t.input<T>(0);
        const T* residual = op.in.size() == 6 ? t.input<T>(5) : nullptr;
        T* y = t.output<T>(0);
        parallel(op.in[0].shape.count() / c, [&](std::int64_t row) {
            for (std::int64_t k = 0; k < c; ++k) {
                const double inv_std = 1.0 / std::sqrt(static_cast<double>(t.input<T>(4)[k]) + attrs.epsilon);
                const double xhat =
                    (static_cast<double>(x[row * c + k]) - static_cast<double>(t.input<T>(3)[k])) * inv_std;
                const double added = residual == nullptr ? 0 : static_cast<double>(residual[row * c + k]);
                const double z =
                    xhat * static_cast<double>(t.input<T>(1)[k]) + static_cast<double>(t.input<T>(2)[k]) + added;
                y[row * c + k] = static_cast<T>(activate(z, attrs.activation));
            }
        });
    });
}

Kernel batch_norm_inference_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const double epsilon = op.as<BatchNormAttrs>().epsilon;
        const std::int64_t c = op.in[1].shape.back();
        const T* dy = t.input<T>(0);
        T* dx = t.output<T>(0);
        parallel(op.in[0].shape.count() / c, [&](std::int64_t row) {
            for (std::int64_t k = 0; k < c; ++k) {
                const double inv_std = 1.0 / std::sqrt(static_cast<double>(t.input<T>(2)[k]) + epsilon);
                dx[row * c + k] = static_cast<T>(static_cast<double>(dy[row * c + k]) *
                                                 static_cast<double>(t.input<T>(1)[k]) * inv_std);
            }
        });
    });
}

}  // namespace fer::cpu::reference

// Batch normalization over all axes but the last, Keras 2.15:
//     y = gamma * (x - mean) / sqrt(variance + epsilon) + beta
// Training takes the batch's mean and biased variance (two passes), and moves the running statistics:
//     moving = moving * momentum + batch * (1 - momentum)
// where the batch variance is unbiased (n/(n-1)) for images and biased for vectors, as Keras 2.15 has it.
// A residual is added to y, then comes the activation; its gradient passes where 0 < y (< 6).
#include "engine/run/cpu/reference/kernels.hpp"
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

Kernel batch_norm(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<BatchNormAttrs>();
        const std::int64_t c = op.in[0].shape.back();
        const std::int64_t rows = op.in[0].shape.count() / c;
        const T* x = t.input<T>(0);
        const T* residual = op.in.size() == 4 ? t.input<T>(3) : nullptr;
        T* y = t.output<T>(0);
        parallel(c, [&](std::int64_t k) {
            double sum = 0;
            for (std::int64_t i = 0; i < rows; ++i) {
                sum += static_cast<double>(x[i * c + k]);
            }
            const double mean = sum / static_cast<double>(rows);
            double squares = 0;
            for (std::int64_t i = 0; i < rows; ++i) {
                const double d = static_cast<double>(x[i * c + k]) - mean;
                squares += d * d;
            }
            const double variance = squares / static_cast<double>(rows);
            const double inv_std = 1.0 / std::sqrt(variance + attrs.epsilon);
            const double scale = static_cast<double>(t.input<T>(1)[k]) * inv_std;
            const double shift = static_cast<double>(t.input<T>(2)[k]);
            for (std::int64_t i = 0; i < rows; ++i) {
                const double added = residual == nullptr ? 0 : static_cast<double>(residual[i * c + k]);
                const double z = (static_cast<double>(x[i * c + k]) - mean) * scale + shift + added;
                y[i * c + k] = static_cast<T>(activate(z, attrs.activation));
            }
            t.output<T>(1)[k] = static_cast<T>(mean);
            t.output<T>(2)[k] = static_cast<T>(variance);
            const bool unbiased = op.in[0].shape.rank() == 4 && rows > 1;
            const double moved = unbiased ? squares / static_cast<double>(rows - 1) : variance;
            T& moving_mean = t.updated<T>(0)[k];
            T& moving_variance = t.updated<T>(1)[k];
            const double rate = 1.0 - attrs.momentum;
            moving_mean = static_cast<T>(static_cast<double>(moving_mean) * attrs.momentum + mean * rate);
            moving_variance = static_cast<T>(static_cast<double>(moving_variance) * attrs.momentum + moved * rate);
        });
    });
}

//     inv_std = 1 / sqrt(variance + epsilon),  xhat = (x - mean) * inv_std
//     dbeta = sum dy,  dgamma = sum dy * xhat,  dx = gamma * inv_std * (dy - dbeta/n - xhat * dgamma/n)
Kernel batch_norm_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<BatchNormAttrs>();
        const std::int64_t c = op.in[0].shape.back();
        const std::int64_t rows = op.in[0].shape.count() / c;
        const T* dy = t.input<T>(0);
        const T* x = t.input<T>(1);
        const T* y = op.in.size() == 7 ? t.input<T>(6) : nullptr;
        T* dx = t.output<T>(0);
        T* dresidual = attrs.residual ? t.output<T>(3) : nullptr;
        const auto dz = [&](std::int64_t i) {  // before the activation
            const bool there = y == nullptr || passes(static_cast<double>(y[i]), attrs.activation);
            return there ? static_cast<double>(dy[i]) : 0.0;
        };
        parallel(c, [&](std::int64_t k) {
            const auto mean = static_cast<double>(t.input<T>(3)[k]);
            const double inv_std = 1.0 / std::sqrt(static_cast<double>(t.input<T>(4)[k]) + attrs.epsilon);
            double dbeta = 0;
            double dgamma = 0;
            for (std::int64_t i = 0; i < rows; ++i) {
                const double d = dz(i * c + k);
                dbeta += d;
                dgamma += d * (static_cast<double>(x[i * c + k]) - mean) * inv_std;
            }
            const double scale = static_cast<double>(t.input<T>(2)[k]) * inv_std;
            const auto n = static_cast<double>(rows);
            for (std::int64_t i = 0; i < rows; ++i) {
                const double xhat = (static_cast<double>(x[i * c + k]) - mean) * inv_std;
                const double d = dz(i * c + k);
                dx[i * c + k] = static_cast<T>(scale * (d - dbeta / n - xhat * dgamma / n));
                if (dresidual != nullptr) {
                    dresidual[i * c + k] = static_cast<T>(d);
                }
            }
            t.output<T>(1)[k] = static_cast<T>(dgamma);
            t.output<T>(2)[k] = static_cast<T>(dbeta);
        });
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
                const double z = xhat * static_cast<double>(t.input<T>(1)[k]) +
                                 static_cast<double>(t.input<T>(2)[k]) + added;
                y[row * c + k] = static_cast<T>(activate(z, attrs.activation));
            }
        });
    });
}

Kernel batch_norm_inference_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const double epsilon = op.as<BatchNormAttrs>().epsilon;
        const std::int64_t c = op.in[0].shape.back();
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

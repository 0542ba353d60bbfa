// Dense layers: y[n,m] = b[m] + sum over k of x[n,k] * w[k,m], and what bias and add need.
#include "engine/run/cpu/reference/kernels.hpp"
#include "engine/run/cpu/reference/typed.hpp"

namespace fer::cpu::reference {

Kernel dense(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const std::int64_t features = op.in[1].shape[0];
        const std::int64_t units = op.in[1].shape[1];
        const T* x = t.input<T>(0);
        const T* w = t.input<T>(1);
        const T* b = op.in.size() == 3 ? t.input<T>(2) : nullptr;
        const Activation activation = op.as<DenseAttrs>().activation;
        T* y = t.output<T>(0);
        parallel(op.out[0].shape.count(), [&](std::int64_t i) {
            const std::int64_t n = i / units;
            const std::int64_t m = i % units;
            double sum = b == nullptr ? 0.0 : static_cast<double>(b[m]);
            for (std::int64_t k = 0; k < features; ++k) {
                sum += static_cast<double>(x[n * features + k]) * static_cast<double>(w[k * units + m]);
            }
            if (activation != Activation::kNone) {
                sum = std::clamp(sum, 0.0, activation == Activation::kRelu6 ? 6.0 : HUGE_VAL);
            }
            y[i] = static_cast<T>(sum);
        });
    });
}

Kernel dense_dgrad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const std::int64_t features = op.in[1].shape[0];
        const std::int64_t units = op.in[1].shape[1];
        const T* dy = t.input<T>(0);
        const T* w = t.input<T>(1);
        T* dx = t.output<T>(0);
        parallel(op.out[0].shape.count(), [&](std::int64_t i) {
            double sum = 0;
            for (std::int64_t m = 0; m < units; ++m) {
                sum += static_cast<double>(dy[i / features * units + m]) *
                       static_cast<double>(w[i % features * units + m]);
            }
            dx[i] = static_cast<T>(sum);
        });
    });
}

Kernel dense_wgrad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const std::int64_t batch = op.in[0].shape[0];
        const std::int64_t features = op.in[0].shape[1];
        const std::int64_t units = op.in[1].shape[1];
        const T* x = t.input<T>(0);
        const T* dy = t.input<T>(1);
        T* dw = t.output<T>(0);
        parallel(features * units, [&](std::int64_t i) {
            double sum = 0;
            for (std::int64_t n = 0; n < batch; ++n) {
                sum +=
                    static_cast<double>(x[n * features + i / units]) * static_cast<double>(dy[n * units + i % units]);
            }
            dw[i] = static_cast<T>(sum);
        });
        if (op.out.size() == 2) {
            T* db = t.output<T>(1);
            parallel(units, [&](std::int64_t m) {
                double sum = 0;
                for (std::int64_t n = 0; n < batch; ++n) {
                    sum += static_cast<double>(dy[n * units + m]);
                }
                db[m] = static_cast<T>(sum);
            });
        }
    });
}

// y = x + b[last axis]
Kernel bias(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const std::int64_t c = op.in[1].shape[0];
        const T* x = t.input<T>(0);
        const T* b = t.input<T>(1);
        T* y = t.output<T>(0);
        parallel(c == 0 ? 0 : op.in[0].shape.count() / c, [&](std::int64_t row) {
            for (std::int64_t i = 0; i < c; ++i) {
                y[row * c + i] = x[row * c + i] + b[i];
            }
        });
    });
}

Kernel bias_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const std::int64_t c = op.out[0].shape[0];
        const T* dy = t.input<T>(0);
        T* db = t.output<T>(0);
        parallel(c, [&](std::int64_t k) {
            double sum = 0;
            for (std::int64_t i = k; i < op.in[0].shape.count(); i += c) {
                sum += static_cast<double>(dy[i]);
            }
            db[k] = static_cast<T>(sum);
        });
    });
}

Kernel add(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        T* y = t.output<T>(0);
        parallel_ranges(op.out[0].shape.count(), [&](std::int64_t begin, std::int64_t end) {
            const T* a = t.input<T>(0);
            for (std::size_t k = 1; k < op.in.size(); ++k) {
                const T* b = t.input<T>(k);
                for (std::int64_t i = begin; i < end; ++i) {
                    y[i] = a[i] + b[i];
                }
                a = y;
            }
        });
    });
}

}  // namespace fer::cpu::reference

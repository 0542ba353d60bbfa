// Softmax and its cross-entropy in the fused, stable form:
//     loss = 1/n * sum_i w[label_i] * -sum_c target_ic * log p_ic,   target = onehot * (1 - s) + s / classes
//     d(logits)_ic = w[label_i] / n * (p_ic - target_ic)
// With mixup, image i counts by its share for its label and by 1 - share for its partner's: the loss is that mean of
// the two losses. A hit is one on the own label. n is the batch, not the sum of the weights, as in Keras. A hit is
// label == argmax, the lowest index of equals.
#include "engine/run/cpu/reference/kernels.hpp"
#include "engine/run/cpu/reference/typed.hpp"

namespace fer::cpu::reference {
namespace {

/// p = softmax(x); returns log(sum(exp(x - max))) + max.
template <class T>
double softmax_row(const T* x, T* p, std::int64_t classes) {
    double top = -HUGE_VAL;
    for (std::int64_t c = 0; c < classes; ++c) {
        top = std::max(top, static_cast<double>(x[c]));
    }
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) {
        sum += std::exp(static_cast<double>(x[c]) - top);
    }
    for (std::int64_t c = 0; c < classes; ++c) {
        p[c] = static_cast<T>(std::exp(static_cast<double>(x[c]) - top) / sum);
    }
    return std::log(sum) + top;
}

double target(std::int64_t c, std::int32_t label, double smoothing, std::int64_t classes) {
    return (c == label ? 1.0 - smoothing : 0.0) + smoothing / static_cast<double>(classes);
}

/// The labels of an image and how much each counts.
class Mixed {
public:
    /// Partner and share, where there are any, are inputs `first` and the next.
    template <class T>
    static Mixed of(const OpDesc& op, const Operands& t, std::size_t first, std::int64_t n, const T* weights) {
        const std::int32_t label = t.input<std::int32_t>(1)[n];
        if (!is_mixed(op.in)) {
            return {label, label, static_cast<double>(weights[label]), 0};
        }
        const std::int32_t partner = t.input<std::int32_t>(first)[n];
        const auto share = static_cast<double>(t.input<float>(first + 1)[n]);
        return {label, partner, share * static_cast<double>(weights[label]),
                (1 - share) * static_cast<double>(weights[partner])};
    }
    double weight() const { return own_ + other_; }
    double weighted_target(std::int64_t c, double smoothing, std::int64_t classes) const {
        return own_ * target(c, label_, smoothing, classes) + other_ * target(c, partner_, smoothing, classes);
    }
    std::int32_t label() const { return label_; }

private:
    Mixed(std::int32_t label, std::int32_t partner, double own, double other)
        : label_(label), partner_(partner), own_(own), other_(other) {}

    std::int32_t label_, partner_;
    double own_, other_;
};

}  // namespace

Kernel softmax(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const std::int64_t classes = op.in[0].shape[1];
        parallel(op.in[0].shape[0], [&](std::int64_t n) {
            softmax_row(t.input<T>(0) + n * classes, t.output<T>(0) + n * classes, classes);
        });
    });
}

// dx = y * (dy - sum(dy * y))
Kernel softmax_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const std::int64_t classes = op.in[0].shape[1];
        parallel(op.in[0].shape[0], [&](std::int64_t n) {
            const T* dy = t.input<T>(0) + n * classes;
            const T* y = t.input<T>(1) + n * classes;
            double dot = 0;
            for (std::int64_t c = 0; c < classes; ++c) {
                dot += static_cast<double>(dy[c]) * static_cast<double>(y[c]);
            }
            for (std::int64_t c = 0; c < classes; ++c) {
                t.output<T>(0)[n * classes + c] =
                    static_cast<T>(static_cast<double>(y[c]) * (static_cast<double>(dy[c]) - dot));
            }
        });
    });
}

Kernel softmax_xent(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const std::int64_t batch = op.in[0].shape[0];
        const std::int64_t classes = op.in[0].shape[1];
        const double smoothing = op.as<XentAttrs>().label_smoothing;
        const bool gradient = takes_gradient(op.in);
        const double scale =
            gradient ? static_cast<double>(*t.input<T>(op.in.size() - 1)) / static_cast<double>(batch) : 0;
        double loss = 0;
        for (std::int64_t n = 0; n < batch; ++n) {
            const T* x = t.input<T>(0) + n * classes;
            T* p = t.output<T>(1) + n * classes;
            const Mixed labels = Mixed::of(op, t, 3, n, t.input<T>(2));
            const double log_sum = softmax_row(x, p, classes);
            std::int64_t best = 0;
            for (std::int64_t c = 0; c < classes; ++c) {
                const double y = labels.weighted_target(c, smoothing, classes);
                loss += y == 0 ? 0 : y * (log_sum - static_cast<double>(x[c]));
                best = x[c] > x[best] ? c : best;
            }
            for (std::int64_t c = 0; gradient && c < classes; ++c) {
                const double y = labels.weighted_target(c, smoothing, classes);
                t.output<T>(3)[n * classes + c] =
                    static_cast<T>(scale * (labels.weight() * static_cast<double>(p[c]) - y));
            }
            t.output<std::uint8_t>(2)[n] = best == labels.label() ? 1 : 0;
        }
        *t.output<T>(0) = static_cast<T>(loss / static_cast<double>(batch));
    });
}

Kernel softmax_xent_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const std::int64_t batch = op.in[0].shape[0];
        const std::int64_t classes = op.in[0].shape[1];
        const double smoothing = op.as<XentAttrs>().label_smoothing;
        const double scale = static_cast<double>(*t.input<T>(3)) / static_cast<double>(batch);
        for (std::int64_t n = 0; n < batch; ++n) {
            const Mixed labels = Mixed::of(op, t, 4, n, t.input<T>(2));
            for (std::int64_t c = 0; c < classes; ++c) {
                const auto p = static_cast<double>(t.input<T>(0)[n * classes + c]);
                const double y = labels.weighted_target(c, smoothing, classes);
                t.output<T>(0)[n * classes + c] = static_cast<T>(scale * (labels.weight() * p - y));
            }
        }
    });
}

// metrics += (loss * images, hits, images, 1 if the loss is not finite)
Kernel metrics(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        auto* sums = t.updated<double>(0);
        const auto loss = static_cast<double>(*t.input<T>(0));
        const std::int64_t images = op.in[1].shape[0];
        std::int64_t hits = 0;
        for (std::int64_t i = 0; i < images; ++i) {
            hits += t.input<std::uint8_t>(1)[i];
        }
        sums[kMetricLoss] += loss * static_cast<double>(images);
        sums[kMetricHits] += static_cast<double>(hits);
        sums[kMetricImages] += static_cast<double>(images);
        sums[kMetricNonFinite] += std::isfinite(loss) ? 0.0 : 1.0;
    });
}

Kernel advance(const OpDesc& desc) {
    const std::int64_t batch = desc.as<GatherAttrs>().batch;
    return [batch](const Operands& t) {
        t.updated<std::int64_t>(0)[kClockStep] += 1;
        t.updated<std::int64_t>(0)[kClockCursor] += batch;
    };
}

}  // namespace fer::cpu::reference

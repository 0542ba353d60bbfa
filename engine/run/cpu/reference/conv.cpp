// Convolution and depthwise convolution, NHWC with HWIO weights, cross-correlation as in Keras:
//     y[n,p,q,k] = b[k] + sum over r,s,c of x[n, p*stride + r - top, q*stride + s - left, c] * w[r,s,c,k]
// with x zero outside its bounds and top, left from window_of().
#include "engine/run/cpu/reference/kernels.hpp"
#include "engine/run/cpu/reference/statistics.hpp"
#include "engine/run/cpu/reference/typed.hpp"

namespace fer::cpu::reference {
namespace {

/// Geometry shared by the three directions of both convolutions.
struct Geometry {
    Geometry(const Shape& x_shape, const Shape& w_shape, const Shape& y_shape, const ConvAttrs& attrs)
        : x(x_shape),
          y(y_shape),
          kh(w_shape[0]),
          kw(w_shape[1]),
          stride(attrs.stride),
          top(window_of(x_shape[1], w_shape[0], attrs.stride, attrs.padding).before),
          left(window_of(x_shape[2], w_shape[1], attrs.stride, attrs.padding).before) {}

    Nhwc x, y;
    std::int64_t kh, kw, stride, top, left;

    /// Calls body(r, s, ih, iw) for every kernel place that falls on the image.
    template <class Body>
    void for_places(std::int64_t oh, std::int64_t ow, Body body) const {
        for (std::int64_t r = 0; r < kh; ++r) {
            for (std::int64_t s = 0; s < kw; ++s) {
                const std::int64_t ih = oh * stride + r - top;
                const std::int64_t iw = ow * stride + s - left;
                if (ih >= 0 && ih < x.h && iw >= 0 && iw < x.w) {
                    body(r, s, ih, iw);
                }
            }
        }
    }

    /// Calls body(r, s, oh, ow) for every output that reads image place (ih, iw).
    template <class Body>
    void for_readers(std::int64_t ih, std::int64_t iw, Body body) const {
        for (std::int64_t r = 0; r < kh; ++r) {
            for (std::int64_t s = 0; s < kw; ++s) {
                const std::int64_t oh = ih + top - r;
                const std::int64_t ow = iw + left - s;
                if (oh >= 0 && ow >= 0 && oh % stride == 0 && ow % stride == 0 && oh / stride < y.h &&
                    ow / stride < y.w) {
                    body(r, s, oh / stride, ow / stride);
                }
            }
        }
    }

    /// Calls body(place of x, place of y), channel 0 of each, for every output that kernel place (r, s) contributes to.
    template <class Body>
    void for_pairs(std::int64_t r, std::int64_t s, Body body) const {
        for (std::int64_t n = 0; n < x.n; ++n) {
            for (std::int64_t oh = 0; oh < y.h; ++oh) {
                const std::int64_t ih = oh * stride + r - top;
                for (std::int64_t ow = 0; ih >= 0 && ih < x.h && ow < y.w; ++ow) {
                    const std::int64_t iw = ow * stride + s - left;
                    if (iw >= 0 && iw < x.w) {
                        body(x(n, ih, iw), y(n, oh, ow));
                    }
                }
            }
        }
    }
};

double activate(double v, Activation activation) {
    switch (activation) {
        case Activation::kNone:
            return v;
        case Activation::kRelu:
            return v < 0 ? 0 : v;  // NaN stays NaN
        case Activation::kRelu6:
            return std::clamp(v, 0.0, 6.0);
    }
    return v;
}

}  // namespace

Kernel conv2d(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<ConvAttrs>();
        const Geometry g(op.in[0].shape, op.in[1].shape, op.out[0].shape, attrs);
        const T* x = t.input<T>(0);
        const T* w = t.input<T>(1);
        const T* b = op.in.size() >= 3 ? t.input<T>(2) : nullptr;
        const T* residual = op.in.size() == 4 ? t.input<T>(3) : nullptr;
        T* y = t.output<T>(0);
        parallel(g.y.n * g.y.h, [&](std::int64_t row) {
            for (std::int64_t ow = 0; ow < g.y.w; ++ow) {
                for (std::int64_t k = 0; k < g.y.c; ++k) {
                    double sum = b == nullptr ? 0.0 : static_cast<double>(b[k]);
                    g.for_places(row % g.y.h, ow, [&](auto r, auto s, auto ih, auto iw) {
                        const T* xs = x + g.x(row / g.y.h, ih, iw);
                        const T* ws = w + (r * g.kw + s) * g.x.c * g.y.c + k;
                        for (std::int64_t c = 0; c < g.x.c; ++c) {
                            sum += static_cast<double>(xs[c]) * static_cast<double>(ws[c * g.y.c]);
                        }
                    });
                    const std::int64_t at = g.y(row / g.y.h, row % g.y.h, ow, k);
                    sum += residual == nullptr ? 0.0 : static_cast<double>(residual[at]);
                    y[at] = static_cast<T>(activate(sum, attrs.activation));
                }
            }
        });
        if (attrs.statistics) {
            parallel(g.y.c, [&](std::int64_t k) {
                take_statistics(y, g.y.n * g.y.h * g.y.w, g.y.c, k, t, 1, attrs.momentum, true);
            });
        }
    });
}

Kernel conv2d_dgrad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const Geometry g(op.out[0].shape, op.in[1].shape, op.in[0].shape, op.as<ConvAttrs>());
        const T* dy = t.input<T>(0);
        const T* w = t.input<T>(1);
        T* dx = t.output<T>(0);
        parallel(g.x.n * g.x.h, [&](std::int64_t row) {
            for (std::int64_t iw = 0; iw < g.x.w; ++iw) {
                for (std::int64_t c = 0; c < g.x.c; ++c) {
                    double sum = 0;
                    g.for_readers(row % g.x.h, iw, [&](auto r, auto s, auto oh, auto ow) {
                        const T* dys = dy + g.y(row / g.x.h, oh, ow);
                        const T* ws = w + ((r * g.kw + s) * g.x.c + c) * g.y.c;
                        for (std::int64_t k = 0; k < g.y.c; ++k) {
                            sum += static_cast<double>(dys[k]) * static_cast<double>(ws[k]);
                        }
                    });
                    dx[g.x(row / g.x.h, row % g.x.h, iw, c)] = static_cast<T>(sum);
                }
            }
        });
    });
}

Kernel conv2d_wgrad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<ConvAttrs>();
        const Geometry g(op.in[0].shape, attrs.kernel, op.in[1].shape, attrs);
        const T* x = t.input<T>(0);
        const T* dy = t.input<T>(1);
        T* dw = t.output<T>(0);
        parallel(attrs.kernel.count(), [&](std::int64_t i) {
            const std::int64_t k = i % g.y.c;
            const std::int64_t c = i / g.y.c % g.x.c;
            const std::int64_t s = i / g.y.c / g.x.c % g.kw;
            const std::int64_t r = i / g.y.c / g.x.c / g.kw;
            double sum = 0;
            g.for_pairs(r, s, [&](auto xi, auto yi) {
                sum += static_cast<double>(x[xi + c]) * static_cast<double>(dy[yi + k]);
            });
            dw[i] = static_cast<T>(sum);
        });
        if (attrs.bias) {
            T* db = t.output<T>(1);
            parallel(g.y.c, [&](std::int64_t k) {
                double sum = 0;
                for (std::int64_t i = k; i < op.in[1].shape.count(); i += g.y.c) {
                    sum += static_cast<double>(dy[i]);
                }
                db[k] = static_cast<T>(sum);
            });
        }
    });
}

Kernel depthwise_conv(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<ConvAttrs>();
        const Geometry g(op.in[0].shape, op.in[1].shape, op.out[0].shape, attrs);
        const T* x = t.input<T>(0);
        const T* w = t.input<T>(1);
        const T* b = op.in.size() == 3 ? t.input<T>(2) : nullptr;
        T* y = t.output<T>(0);
        parallel(g.y.n * g.y.h, [&](std::int64_t row) {
            for (std::int64_t ow = 0; ow < g.y.w; ++ow) {
                for (std::int64_t c = 0; c < g.y.c; ++c) {
                    double sum = b == nullptr ? 0.0 : static_cast<double>(b[c]);
                    g.for_places(row % g.y.h, ow, [&](auto r, auto s, auto ih, auto iw) {
                        sum += static_cast<double>(x[g.x(row / g.y.h, ih, iw, c)]) *
                               static_cast<double>(w[(r * g.kw + s) * g.x.c + c]);
                    });
                    y[g.y(row / g.y.h, row % g.y.h, ow, c)] = static_cast<T>(activate(sum, attrs.activation));
                }
            }
        });
    });
}

Kernel depthwise_dgrad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const Geometry g(op.out[0].shape, op.in[1].shape, op.in[0].shape, op.as<ConvAttrs>());
        const T* dy = t.input<T>(0);
        const T* w = t.input<T>(1);
        T* dx = t.output<T>(0);
        parallel(g.x.n * g.x.h, [&](std::int64_t row) {
            for (std::int64_t iw = 0; iw < g.x.w; ++iw) {
                for (std::int64_t c = 0; c < g.x.c; ++c) {
                    double sum = 0;
                    g.for_readers(row % g.x.h, iw, [&](auto r, auto s, auto oh, auto ow) {
                        sum += static_cast<double>(dy[g.y(row / g.x.h, oh, ow, c)]) *
                               static_cast<double>(w[(r * g.kw + s) * g.x.c + c]);
                    });
                    dx[g.x(row / g.x.h, row % g.x.h, iw, c)] = static_cast<T>(sum);
                }
            }
        });
    });
}

Kernel depthwise_wgrad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<ConvAttrs>();
        const Geometry g(op.in[0].shape, attrs.kernel, op.in[1].shape, attrs);
        const T* x = t.input<T>(0);
        const T* dy = t.input<T>(1);
        T* dw = t.output<T>(0);
        parallel(attrs.kernel.count(), [&](std::int64_t i) {
            const std::int64_t c = i % g.x.c;
            const std::int64_t s = i / g.x.c % g.kw;
            const std::int64_t r = i / g.x.c / g.kw;
            double sum = 0;
            g.for_pairs(r, s, [&](auto xi, auto yi) {
                sum += static_cast<double>(x[xi + c]) * static_cast<double>(dy[yi + c]);
            });
            dw[i] = static_cast<T>(sum);
        });
    });
}

}  // namespace fer::cpu::reference

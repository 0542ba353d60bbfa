// Pooling. A window outside the image: max ignores it, the average leaves it out of its count (as TensorFlow does).
// argmax is the winner's place in the window, row by row; the first of equals wins. NaN wins over numbers.
#include "engine/run/cpu/reference/kernels.hpp"
#include "engine/run/cpu/reference/typed.hpp"

namespace fer::cpu::reference {
namespace {

struct Geometry {
    Geometry(const Shape& x_shape, const Shape& y_shape, const PoolAttrs& attrs)
        : x(x_shape),
          y(y_shape),
          window(attrs.window),
          stride(attrs.stride),
          top(window_of(x_shape[1], attrs.window, attrs.stride, attrs.padding).before),
          left(window_of(x_shape[2], attrs.window, attrs.stride, attrs.padding).before) {}

    Nhwc x, y;
    std::int64_t window, stride, top, left;

    bool inside(std::int64_t ih, std::int64_t iw) const { return ih >= 0 && ih < x.h && iw >= 0 && iw < x.w; }

    /// Places of the window at (oh, ow) that lie on the image.
    std::int64_t places(std::int64_t oh, std::int64_t ow) const {
        const auto extent = [this](std::int64_t begin, std::int64_t size) {
            return std::min(begin + window, size) - std::max<std::int64_t>(begin, 0);
        };
        return extent(oh * stride - top, x.h) * extent(ow * stride - left, x.w);
    }

    /// Calls body(oh, ow, place) for every window that covers (ih, iw).
    template <class Body>
    void for_windows(std::int64_t ih, std::int64_t iw, Body body) const {
        const std::int64_t first_h = std::max<std::int64_t>(0, (ih + top - window + stride) / stride);
        const std::int64_t first_w = std::max<std::int64_t>(0, (iw + left - window + stride) / stride);
        for (std::int64_t oh = first_h; oh < y.h && oh * stride - top <= ih; ++oh) {
            for (std::int64_t ow = first_w; ow < y.w && ow * stride - left <= iw; ++ow) {
                const std::int64_t r = ih - (oh * stride - top);
                const std::int64_t s = iw - (ow * stride - left);
                if (r < window && s < window) {
                    body(oh, ow, r * window + s);
                }
            }
        }
    }
};

}  // namespace

Kernel max_pool(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const Geometry g(op.in[0].shape, op.out[0].shape, op.as<PoolAttrs>());
        const T* x = t.input<T>(0);
        T* y = t.output<T>(0);
        auto* argmax = t.output<std::uint8_t>(1);
        parallel(g.y.n * g.y.h, [&](std::int64_t row) {
            for (std::int64_t i = 0; i < g.y.w * g.y.c; ++i) {
                const std::int64_t n = row / g.y.h, oh = row % g.y.h, ow = i / g.y.c, c = i % g.y.c;
                T best{};
                std::int64_t winner = -1;
                for (std::int64_t place = 0; place < g.window * g.window; ++place) {
                    const std::int64_t ih = oh * g.stride - g.top + place / g.window;
                    const std::int64_t iw = ow * g.stride - g.left + place % g.window;
                    if (!g.inside(ih, iw)) {
                        continue;
                    }
                    const T v = x[g.x(n, ih, iw, c)];
                    if (winner < 0 || v > best || (std::isnan(v) && !std::isnan(best))) {
                        best = v;
                        winner = place;
                    }
                }
                const std::int64_t o = g.y(n, oh, ow, c);
                y[o] = best;
                argmax[o] = static_cast<std::uint8_t>(winner);
            }
        });
    });
}

Kernel max_pool_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const Geometry g(op.out[0].shape, op.in[0].shape, op.as<PoolAttrs>());
        const T* dy = t.input<T>(0);
        const auto* argmax = t.input<std::uint8_t>(1);
        T* dx = t.output<T>(0);
        parallel(g.x.n * g.x.h, [&](std::int64_t row) {
            const std::int64_t n = row / g.x.h, ih = row % g.x.h;
            for (std::int64_t iw = 0; iw < g.x.w; ++iw) {
                for (std::int64_t c = 0; c < g.x.c; ++c) {
                    double sum = 0;
                    g.for_windows(ih, iw, [&](auto oh, auto ow, auto place) {
                        const std::int64_t o = g.y(n, oh, ow, c);
                        sum += argmax[o] == place ? static_cast<double>(dy[o]) : 0.0;
                    });
                    dx[g.x(n, ih, iw, c)] = static_cast<T>(sum);
                }
            }
        });
    });
}

Kernel avg_pool(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const Geometry g(op.in[0].shape, op.out[0].shape, op.as<PoolAttrs>());
        const T* x = t.input<T>(0);
        T* y = t.output<T>(0);
        parallel(g.y.n * g.y.h, [&](std::int64_t row) {
            for (std::int64_t i = 0; i < g.y.w * g.y.c; ++i) {
                const std::int64_t n = row / g.y.h, oh = row % g.y.h, ow = i / g.y.c, c = i % g.y.c;
                double sum = 0;
                for (std::int64_t place = 0; place < g.window * g.window; ++place) {
                    const std::int64_t ih = oh * g.stride - g.top + place / g.window;
                    const std::int64_t iw = ow * g.stride - g.left + place % g.window;
                    sum += g.inside(ih, iw) ? static_cast<double>(x[g.x(n, ih, iw, c)]) : 0.0;
                }
                y[g.y(n, oh, ow, c)] = static_cast<T>(sum / static_cast<double>(g.places(oh, ow)));
            }
        });
    });
}

Kernel avg_pool_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const Geometry g(op.out[0].shape, op.in[0].shape, op.as<PoolAttrs>());
        const T* dy = t.input<T>(0);
        T* dx = t.output<T>(0);
        parallel(g.x.n * g.x.h, [&](std::int64_t row) {
            const std::int64_t n = row / g.x.h, ih = row % g.x.h;
            for (std::int64_t iw = 0; iw < g.x.w; ++iw) {
                for (std::int64_t c = 0; c < g.x.c; ++c) {
                    double sum = 0;
                    g.for_windows(ih, iw, [&](auto oh, auto ow, auto) {
                        sum += static_cast<double>(dy[g.y(n, oh, ow, c)]) / static_cast<double>(g.places(oh, ow));
                    });
                    dx[g.x(n, ih, iw, c)] = static_cast<T>(sum);
                }
            }
        });
    });
}

Kernel global_avg_pool(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const Nhwc x(op.in[0].shape);
        parallel(x.n * x.c, [&](std::int64_t i) {
            double sum = 0;
            for (std::int64_t p = 0; p < x.h * x.w; ++p) {
                sum += static_cast<double>(t.input<T>(0)[(i / x.c * x.h * x.w + p) * x.c + i % x.c]);
            }
            t.output<T>(0)[i] = static_cast<T>(sum / static_cast<double>(x.h * x.w));
        });
    });
}

Kernel global_avg_pool_grad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const Nhwc x(op.out[0].shape);
        parallel(x.n * x.h * x.w, [&](std::int64_t row) {
            for (std::int64_t c = 0; c < x.c; ++c) {
                t.output<T>(0)[row * x.c + c] = t.input<T>(0)[row / (x.h * x.w) * x.c + c] / static_cast<T>(x.h * x.w);
            }
        });
    });
}

Kernel zero_pad(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& pad = op.as<PadAttrs>();
        const Nhwc x(op.in[0].shape);
        const Nhwc y(op.out[0].shape);
        parallel(y.n * y.h, [&](std::int64_t row) {
            const std::int64_t ih = row % y.h - pad.top;
            for (std::int64_t ow = 0; ow < y.w; ++ow) {
                const std::int64_t iw = ow - pad.left;
                const bool inside = ih >= 0 && ih < x.h && iw >= 0 && iw < x.w;
                for (std::int64_t c = 0; c < y.c; ++c) {
                    t.output<T>(0)[(row * y.w + ow) * y.c + c] = inside ? t.input<T>(0)[x(row / y.h, ih, iw, c)] : T{};
                }
            }
        });
    });
}

Kernel crop(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& pad = op.as<PadAttrs>();
        const Nhwc x(op.in[0].shape);
        const Nhwc y(op.out[0].shape);
        parallel(y.n * y.h, [&](std::int64_t row) {
            std::copy_n(t.input<T>(0) + x(row / y.h, row % y.h + pad.top, pad.left), y.w * y.c,
                        t.output<T>(0) + row * y.w * y.c);
        });
    });
}

}  // namespace fer::cpu::reference

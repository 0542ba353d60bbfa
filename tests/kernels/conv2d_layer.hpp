// One convolution in one arithmetic, in all three directions, and its comparison with the double reference.
#pragma once

#include "tests/kernels/conv_cases.hpp"

namespace fer::FER_PORT {

inline std::vector<double> numbers(const Shape& shape, std::uint64_t seed, bool integers) {
    const auto count = static_cast<std::size_t>(shape.count());
    return integers ? test::small_integers(count, seed) : test::uniform(count, seed);
}

inline DeviceArray<float> workspace_of(std::int64_t bytes) {
    return DeviceArray<float>(static_cast<std::size_t>(bytes / 4));
}

/// One layer in one arithmetic: inputs on the device, and what the three directions should give.
template <class T>
struct Conv2dLayer {
    Conv2dLayer(const test::ConvShape& c, Arithmetic how, bool are_integers, Activation act = Activation::kNone)
        : shape(geometry(c)),
          arithmetic(how),
          integers(are_integers),
          activation(act),
          attrs{.stride = c.stride, .padding = c.padding},
          x(numbers(x_shape(shape), 1, integers)),
          w(numbers(w_shape(shape), 2, integers)),
          dy(numbers(y_shape(shape), 3, integers)),
          bias(numbers({shape.k}, 4, integers)),
          residual(numbers(y_shape(shape), 5, integers)) {}

    void expect(const std::vector<double>& got, const std::vector<double>& want, const std::vector<double>& magnitudes,
                double terms) const {
        if (integers) {
            EXPECT_TRUE(test::close(got, rounded<T>(want), test::exact()));
        } else {
            EXPECT_TRUE(within<T>(got, want, magnitudes, terms, arithmetic));
        }
    }
    void expect_inputs_unchanged() const {
        x.expect_unchanged();
        w.expect_unchanged();
        dy.expect_unchanged();
        bias.expect_unchanged();
        residual.expect_unchanged();
    }

    std::vector<double> run_fwd(const GemmChoice& choice) const {
        DeviceArray<T> y(static_cast<std::size_t>(y_shape(shape).count()));
        Conv2d a{.shape = shape,
                 .x = x.get(),
                 .w = w.get(),
                 .bias = bias.get(),
                 .residual = residual.get(),
                 .y = y.get(),
                 .activation = activation,
                 .dtype = dtype_of(arithmetic),
                 .tf32 = arithmetic == Arithmetic::kTf32,
                 .choice = choice};
        const auto workspace = workspace_of(conv2d_fwd_workspace(a));
        a.workspace = workspace.get();
        conv2d_fwd(a, nullptr);
        workspace.read();
        return y.doubles();
    }
    std::vector<double> run_dgrad(const GemmChoice& choice) const {
        DeviceArray<T> dx(static_cast<std::size_t>(x_shape(shape).count()));
        Conv2dDgrad a{.shape = shape,
                      .dy = dy.get(),
                      .w = w.get(),
                      .dx = dx.get(),
                      .dtype = dtype_of(arithmetic),
                      .tf32 = arithmetic == Arithmetic::kTf32,
                      .choice = choice};
        const auto workspace = workspace_of(conv2d_dgrad_workspace(a));
        a.workspace = workspace.get();
        conv2d_dgrad(a, nullptr);
        workspace.read();
        return dx.doubles();
    }
    /// dw, then dbias behind it.
    std::vector<double> run_wgrad(const GemmChoice& choice, bool with_bias = true) const {
        DeviceArray<T> dw(static_cast<std::size_t>(w_shape(shape).count()));
        DeviceArray<float> dbias(static_cast<std::size_t>(shape.k));
        Conv2dWgrad a{.shape = shape,
                      .x = x.get(),
                      .dy = dy.get(),
                      .dw = dw.get(),
                      .dbias = with_bias ? dbias.get() : nullptr,
                      .dtype = dtype_of(arithmetic),
                      .tf32 = arithmetic == Arithmetic::kTf32,
                      .choice = choice};
        const auto workspace = workspace_of(conv2d_wgrad_workspace(a));
        a.workspace = workspace.get();
        conv2d_wgrad(a, nullptr);
        workspace.read();
        std::vector<double> all = dw.doubles();
        for (const double v : dbias.doubles()) {
            if (with_bias) {
                all.push_back(v);
            }
        }
        return all;
    }

    void check_fwd(const GemmChoice& choice = {}) const {
        const auto compute = [&](auto map) {
            auto sums = reference(OpKind::kConv2d, attrs,
                                  {{x_shape(shape), map(x.inputs())},
                                   {w_shape(shape), map(w.inputs())},
                                   {{shape.k}, map(bias.inputs())}})[0];
            const auto r = map(residual.inputs());
            for (std::size_t i = 0; i < sums.size(); ++i) {
                sums[i] += r[i];
            }
            return sums;
        };
        auto want = compute([](const auto& v) { return v; });
        const auto magnitudes = integers ? want : compute(absolute);
        for (double& v : want) {
            v = activation == Activation::kNone ? v : std::max(v, 0.0);
            v = activation == Activation::kRelu6 ? std::min(v, 6.0) : v;
        }
        expect(run_fwd(choice), want, magnitudes, 2.0 + shape.kh * shape.kw * shape.c);
        expect_inputs_unchanged();
    }
    void check_dgrad(const GemmChoice& choice = {}) const {
        ConvAttrs gradient = attrs;
        gradient.input = x_shape(shape);
        const auto compute = [&](auto map) {
            return reference(OpKind::kConv2dDgrad, gradient,
                             {{y_shape(shape), map(dy.inputs())}, {w_shape(shape), map(w.inputs())}})[0];
        };
        const auto want = compute([](const auto& v) { return v; });
        expect(run_dgrad(choice), want, integers ? want : compute(absolute), 1.0 * shape.kh * shape.kw * shape.k);
        expect_inputs_unchanged();
    }
    void check_wgrad(const GemmChoice& choice = {}, bool with_bias = true) const {
        ConvAttrs gradient = attrs;
        gradient.kernel = w_shape(shape);
        gradient.bias = true;
        const auto compute = [&](auto map) {
            return reference(OpKind::kConv2dWgrad, gradient,
                             {{x_shape(shape), map(x.inputs())}, {y_shape(shape), map(dy.inputs())}});
        };
        const auto want = compute([](const auto& v) { return v; });
        const auto magnitudes = integers ? want : compute(absolute);
        const double terms = 1.0 * shape.n * shape.p * shape.q;
        std::vector<double> got = run_wgrad(choice, with_bias);
        const std::vector<double> dbias(got.begin() + static_cast<std::ptrdiff_t>(want[0].size()), got.end());
        got.resize(want[0].size());
        expect(got, want[0], magnitudes[0], terms);
        if (with_bias && integers) {
            EXPECT_TRUE(test::close(dbias, want[1], test::exact()));
        } else if (with_bias) {
            EXPECT_TRUE(within<float>(dbias, want[1], magnitudes[1], terms, Arithmetic::kF32));
        }
        expect_inputs_unchanged();
    }

    Conv2dShape shape;
    Arithmetic arithmetic;
    bool integers;
    Activation activation;
    ConvAttrs attrs;
    DeviceArray<T> x, w, dy;
    DeviceArray<float> bias;
    DeviceArray<T> residual;
};

}  // namespace fer::FER_PORT

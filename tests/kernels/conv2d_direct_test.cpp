// Plain convolutions against the double reference.
#include "kernels/conv2d_direct.hpp"

#include <gmock/gmock.h>

#include "tests/kernels/conv_cases.hpp"

namespace fer::FER_PORT {
namespace {

using test::ConvShape;
using ::testing::Each;

struct Layer {
    Layer(const ConvShape& c, bool integers)
        : shape(geometry(c)),
          attrs{.stride = c.stride, .padding = c.padding},
          x(numbers(x_shape(shape), 1, integers)),
          w(numbers(w_shape(shape), 2, integers)),
          dy(numbers(y_shape(shape), 3, integers)),
          bias(numbers({shape.k}, 4, integers)) {}

    static std::vector<double> numbers(const Shape& s, std::uint64_t seed, bool integers) {
        const auto count = static_cast<std::size_t>(s.count());
        return integers ? test::small_integers(count, seed) : test::uniform(count, seed);
    }
    static DeviceArray<float> output(const Shape& s) { return DeviceArray<float>(static_cast<std::size_t>(s.count())); }

    std::vector<double> run_fwd(Activation activation) const {
        const auto y = output(y_shape(shape));
        conv2d_direct_fwd(
            {.shape = shape, .x = x.get(), .w = w.get(), .bias = bias.get(), .y = y.get(), .activation = activation},
            nullptr);
        return y.doubles();
    }
    std::vector<double> run_dgrad() const {
        const auto dx = output(x_shape(shape));
        conv2d_direct_dgrad({.shape = shape, .dy = dy.get(), .w = w.get(), .dx = dx.get()}, nullptr);
        return dx.doubles();
    }
    std::vector<std::vector<double>> run_wgrad() const {
        const auto dw = output(w_shape(shape));
        const auto dbias = output({shape.k});
        conv2d_direct_wgrad({.shape = shape, .x = x.get(), .dy = dy.get(), .dw = dw.get(), .dbias = dbias.get()},
                            nullptr);
        return {dw.doubles(), dbias.doubles()};
    }

    /// y, dx, dw, dbias of the reference, for inputs passed through `map`.
    template <class Map>
    std::vector<std::vector<double>> want(Activation activation, Map map) const {
        ConvAttrs forward = attrs;
        forward.activation = static_cast<fer::Activation>(activation);
        ConvAttrs gradient = attrs;
        gradient.input = x_shape(shape);
        gradient.kernel = w_shape(shape);
        gradient.bias = true;
        const std::pair<Shape, std::vector<double>> x_in{x_shape(shape), map(x.inputs())};
        const std::pair<Shape, std::vector<double>> w_in{w_shape(shape), map(w.inputs())};
        const std::pair<Shape, std::vector<double>> dy_in{y_shape(shape), map(dy.inputs())};
        auto all = reference(OpKind::kConv2d, forward, {x_in, w_in, {{shape.k}, map(bias.inputs())}});
        all.push_back(reference(OpKind::kConv2dDgrad, gradient, {dy_in, w_in})[0]);
        for (auto& gradients : reference(OpKind::kConv2dWgrad, gradient, {x_in, dy_in})) {
            all.push_back(std::move(gradients));
        }
        return all;
    }
    std::vector<std::vector<double>> run(Activation activation) const {
        auto all = run_wgrad();
        all.insert(all.begin(), {run_fwd(activation), run_dgrad()});
        for (const DeviceArray<float>* input : {&x, &w, &dy, &bias}) {
            input->expect_unchanged();
        }
        return all;
    }

    Conv2dShape shape;
    ConvAttrs attrs;
    DeviceArray<float> x, w, dy, bias;
};

class Conv2dDirectShapes : public ::testing::TestWithParam<ConvShape> {};

TEST_P(Conv2dDirectShapes, IntegersAreExact) {
    const Layer layer(GetParam(), true);
    const auto want = layer.want(Activation::kRelu6, [](const auto& v) { return v; });
    const auto got = layer.run(Activation::kRelu6);
    for (std::size_t i = 0; i < want.size(); ++i) {
        EXPECT_TRUE(test::close(got[i], want[i], test::exact())) << i;
    }
}

TEST_P(Conv2dDirectShapes, OtherNumbersAreClose) {
    const Layer layer(GetParam(), false);
    const auto want = layer.want(Activation::kNone, [](const auto& v) { return v; });
    const auto magnitudes = layer.want(Activation::kNone, absolute);
    const auto got = layer.run(Activation::kNone);
    for (std::size_t i = 0; i < want.size(); ++i) {
        EXPECT_TRUE(within<float>(got[i], want[i], magnitudes[i], most_terms(layer.shape), Arithmetic::kF32)) << i;
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Conv2dDirectShapes, ::testing::ValuesIn(kernel_conv_shapes()),
                         [](const auto& test) { return test.param.str(); });

TEST(Conv2dDirect, PaddingDoesNotSpreadNan) {
    const ConvShape shape{1, 4, 4, 1, 1, 3};
    const Layer layer(shape, true);
    std::vector<double> values = layer.w.inputs();
    values[0] = NAN;  // the upper left place: outputs of the first row and column do not use it
    const DeviceArray<float> w(values);
    const DeviceArray<float> y(16);
    conv2d_direct_fwd(
        {.shape = layer.shape, .x = layer.x.get(), .w = w.get(), .y = y.get(), .activation = Activation::kRelu},
        nullptr);
    const auto got = y.doubles();
    for (std::size_t i = 0; i < got.size(); ++i) {
        EXPECT_EQ(std::isnan(got[i]), i / 4 > 0 && i % 4 > 0) << i;
    }
}

TEST(Conv2dDirect, ResidualMayBeTheOutput) {
    const Layer layer({2, 5, 4, 3, 6, 3}, true);
    const std::vector<double> before = test::small_integers(static_cast<std::size_t>(y_shape(layer.shape).count()), 9);
    const DeviceArray<float> y(before);
    conv2d_direct_fwd({.shape = layer.shape,
                       .x = layer.x.get(),
                       .w = layer.w.get(),
                       .bias = layer.bias.get(),
                       .residual = y.get(),
                       .y = y.get()},
                      nullptr);
    auto want = layer.run_fwd(Activation::kNone);
    for (std::size_t i = 0; i < want.size(); ++i) {
        want[i] += before[i];
    }
    EXPECT_TRUE(test::close(y.doubles(), want, test::exact()));
}

TEST(Conv2dDirect, NothingToDoAndEmptySums) {
    Conv2dShape s = geometry({0, 4, 4, 8, 8, 3});
    conv2d_direct_fwd({.shape = s, .x = nullptr, .w = nullptr, .y = nullptr}, nullptr);
    conv2d_direct_dgrad({.shape = s, .dy = nullptr, .w = nullptr, .dx = nullptr}, nullptr);
    for (const auto& gradient : Layer({0, 4, 4, 8, 8, 3}, true).run_wgrad()) {
        EXPECT_THAT(gradient, Each(0.0));
    }
    s.n = 1 << 24;
    EXPECT_THROW(conv2d_direct_fwd({.shape = s, .x = nullptr, .w = nullptr, .y = nullptr}, nullptr), UsageError);
}

TEST(Conv2dDirect, SameBitsUnderEverySchedule) {
    const Layer layer({2, 7, 6, 5, 7, 3, 2}, false);
    expect_same_bits_always([&] { return layer.run_fwd(Activation::kNone); });
    expect_same_bits_always([&] { return layer.run_dgrad(); });
    expect_same_bits_always([&] { return layer.run_wgrad()[0]; });
}

}  // namespace
}  // namespace fer::FER_PORT

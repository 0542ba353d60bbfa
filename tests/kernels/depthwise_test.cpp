#include "kernels/depthwise.hpp"

#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

struct Case {
    std::int64_t n, h, w, c, kernel;
    int stride = 1;
    Padding padding = Padding::kSame;

    std::string str() const {
        return fmt::format("n{}h{}w{}c{} {}x{} stride {} {}", n, h, w, c, kernel, kernel, stride,
                           padding == Padding::kSame ? "same" : "valid");
    }
    Shape x() const { return {n, h, w, c}; }
    Shape weights() const { return {kernel, kernel, c, 1}; }
    Shape y() const {
        return {n, window_of(h, kernel, stride, padding).out, window_of(w, kernel, stride, padding).out, c};
    }
    DepthwiseShape shape() const {
        const Shape out = y();
        return {.n = as_int(n),
                .h = as_int(h),
                .w = as_int(w),
                .c = as_int(c),
                .kh = as_int(kernel),
                .kw = as_int(kernel),
                .stride = stride,
                .top = as_int(window_of(h, kernel, stride, padding).before),
                .left = as_int(window_of(w, kernel, stride, padding).before),
                .p = as_int(out[1]),
                .q = as_int(out[2])};
    }
};

std::vector<Case> cases() {
    constexpr auto kValid = Padding::kValid;
    return {
        {0, 5, 5, 8, 3},      // nothing
        {2, 24, 24, 1, 3},    // separable_cnn, first
        {1, 24, 24, 32, 3},   // second
        {1, 12, 12, 64, 3},   // third
        {1, 11, 11, 128, 3},  // fourth and later
        {1, 12, 12, 72, 3, 1, kValid},
        {1, 8, 16, 32, 3},  // exactly a tile
        {1, 9, 17, 32, 3},  // one more each way
        {1, 7, 15, 64, 3},  // one less
        {1, 10, 18, 8, 3, 1, kValid},
        {1, 1, 1, 1, 1},              // smallest
        {1, 1, 1, 8, 3},              // kernel larger than the image
        {1, 2, 3, 4, 5},              //
        {3, 7, 13, 5, 3},             // primes
        {2, 5, 33, 3, 3, 1, kValid},  //
        {2, 8, 7, 40, 3, 2},          // even by odd, stride 2
        {2, 7, 8, 96, 3, 2, kValid},  // MobileNetV2
        {1, 9, 9, 16, 5},             //
        {1, 11, 10, 24, 5, 2},        //
        {2, 6, 6, 7, 5, 1, kValid},   //
        {1, 9, 11, 12, 2, 3},         // kernel smaller than the stride
        {1, 9, 9, 8, 7, 2},           // 49 places
        {5, 4, 4, 33, 3},             // one off a vector
        {1, 3, 3, 260, 3},            // several groups of channels
        {1, 40, 3, 4, 3},
        {1, 90, 1, 1024, 7},  // several rounds per block of the weight gradient             //
    };
}

template <class T>
struct Inputs {
    Inputs(const Case& s, bool integers)
        : x(integers ? test::small_integers(test::count_of(s.x()), 1) : test::uniform(test::count_of(s.x()), 2)),
          w(integers ? test::small_integers(test::count_of(s.weights()), 3)
                     : test::uniform(test::count_of(s.weights()), 4)),
          dy(integers ? test::small_integers(test::count_of(s.y()), 5) : test::uniform(test::count_of(s.y()), 6)) {}
    void expect_unchanged() const {
        x.expect_unchanged();
        w.expect_unchanged();
        dy.expect_unchanged();
    }
    DeviceArray<T> x, w, dy;
};

template <class T>
std::vector<T> forward(const Case& s, const Inputs<T>& in) {
    DeviceArray<T> y(test::count_of(s.y()));
    depthwise_fwd({.shape = s.shape(), .x = in.x.get(), .w = in.w.get(), .y = y.get(), .dtype = DTypeOf<T>::value},
                  nullptr);
    in.expect_unchanged();
    return y.read();
}

template <class T>
std::vector<T> data_gradient(const Case& s, const Inputs<T>& in) {
    DeviceArray<T> dx(test::count_of(s.x()));
    depthwise_dgrad(
        {.shape = s.shape(), .dy = in.dy.get(), .w = in.w.get(), .dx = dx.get(), .dtype = DTypeOf<T>::value}, nullptr);
    in.expect_unchanged();
    return dx.read();
}

template <class T, class Out>
std::vector<Out> weight_gradient(const Case& s, const Inputs<T>& in) {
    DeviceArray<Out> dw(test::count_of(s.weights()));
    DepthwiseWgrad op{.shape = s.shape(),
                      .x = in.x.get(),
                      .dy = in.dy.get(),
                      .dw = dw.get(),
                      .dtype = DTypeOf<T>::value,
                      .dw_dtype = DTypeOf<Out>::value};
    const DeviceArray<float> workspace(static_cast<std::size_t>(depthwise_wgrad_workspace(op)) / sizeof(float));
    op.workspace = workspace.get();
    depthwise_wgrad(op, nullptr);
    workspace.read();  // sentinels
    in.expect_unchanged();
    return dw.read();
}

ConvAttrs attributes(const Case& s) {
    return {.stride = s.stride, .padding = s.padding, .input = s.x(), .kernel = s.weights()};
}

template <class T>
class DepthwiseKernel : public ::testing::Test {};
TYPED_TEST_SUITE(DepthwiseKernel, StorageTypes);

TYPED_TEST(DepthwiseKernel, ForwardMatchesReference) {
    for (const Case& s : cases()) {
        SCOPED_TRACE(s.str());
        for (const bool integers : {true, false}) {
            const Inputs<TypeParam> in(s, integers);
            const auto want =
                test::run_reference(OpKind::kDepthwiseConv, ConvAttrs{.stride = s.stride, .padding = s.padding},
                                    {tensor_of(s.x(), in.x), tensor_of(s.weights(), in.w)});
            const auto got = forward(s, in);
            EXPECT_TRUE(integers ? exactly(got, want.out[0].values)
                                 : test::close(DeviceArray<TypeParam>::of(got).inputs(), want.out[0].values,
                                               stored_sum<TypeParam>(s.kernel * s.kernel)));
        }
    }
}

TYPED_TEST(DepthwiseKernel, BiasAndActivation) {
    for (const Case& s : cases()) {
        SCOPED_TRACE(s.str());
        const Inputs<TypeParam> in(s, true);
        const DeviceArray<float> bias(test::small_integers(static_cast<std::size_t>(s.c), 7));
        const auto sums =
            test::run_reference(OpKind::kDepthwiseConv, ConvAttrs{.stride = s.stride, .padding = s.padding},
                                {tensor_of(s.x(), in.x), tensor_of(s.weights(), in.w)})
                .out[0]
                .values;
        for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kRelu6}) {
            std::vector<double> want;
            for (std::size_t i = 0; i < sums.size(); ++i) {
                const double v = sums[i] + bias.inputs()[i % static_cast<std::size_t>(s.c)];
                want.push_back(activation == Activation::kNone
                                   ? v
                                   : std::clamp(v, 0.0, activation == Activation::kRelu6 ? 6.0 : std::max(v, 0.0)));
            }
            const DeviceArray<TypeParam> y(sums.size());
            depthwise_fwd({.shape = s.shape(),
                           .x = in.x.get(),
                           .w = in.w.get(),
                           .bias = bias.get(),
                           .y = y.get(),
                           .activation = activation,
                           .dtype = DTypeOf<TypeParam>::value},
                          nullptr);
            EXPECT_TRUE(exactly(y.read(), want));
        }
    }
}

TYPED_TEST(DepthwiseKernel, DataGradientMatchesReference) {
    for (const Case& s : cases()) {
        SCOPED_TRACE(s.str());
        for (const bool integers : {true, false}) {
            const Inputs<TypeParam> in(s, integers);
            ConvAttrs attrs = attributes(s);
            attrs.kernel = {};
            const auto want = test::run_reference(OpKind::kDepthwiseDgrad, attrs,
                                                  {tensor_of(s.y(), in.dy), tensor_of(s.weights(), in.w)});
            const auto got = data_gradient(s, in);
            EXPECT_TRUE(integers ? exactly(got, want.out[0].values)
                                 : test::close(DeviceArray<TypeParam>::of(got).inputs(), want.out[0].values,
                                               stored_sum<TypeParam>(s.kernel * s.kernel)));
        }
    }
}

TYPED_TEST(DepthwiseKernel, WeightGradientMatchesReference) {
    for (const Case& s : cases()) {
        SCOPED_TRACE(s.str());
        for (const bool integers : {true, false}) {
            const Inputs<TypeParam> in(s, integers);
            ConvAttrs attrs = attributes(s);
            attrs.input = {};
            const auto want =
                test::run_reference(OpKind::kDepthwiseWgrad, attrs, {tensor_of(s.x(), in.x), tensor_of(s.y(), in.dy)});
            const auto got = weight_gradient<TypeParam, float>(s, in);
            const std::int64_t terms = s.y()[0] * s.y()[1] * s.y()[2];
            EXPECT_TRUE(integers ? exactly(got, want.out[0].values)
                                 : test::close(got, want.out[0].values, test::float_sum(terms)));
            if (integers) {
                EXPECT_TRUE(exactly(weight_gradient<TypeParam, TypeParam>(s, in), want.out[0].values));
            }
        }
    }
}

TYPED_TEST(DepthwiseKernel, UnalignedPointersTakeTheScalarPath) {
    const Case s{1, 6, 7, 8, 3};
    const Inputs<TypeParam> in(s, true);
    std::vector<double> shifted = in.x.inputs();
    shifted.insert(shifted.begin(), 0.0);
    const DeviceArray<TypeParam> x(shifted);
    DeviceArray<TypeParam> y(test::count_of(s.y()));
    depthwise_fwd(
        {.shape = s.shape(), .x = x.get() + 1, .w = in.w.get(), .y = y.get(), .dtype = DTypeOf<TypeParam>::value},
        nullptr);
    EXPECT_TRUE(same_bits(y.read(), forward(s, in)));
    DeviceArray<float> dw(test::count_of(s.weights()));
    DepthwiseWgrad op{.shape = s.shape(),
                      .x = nullptr,
                      .dy = in.dy.get(),
                      .dw = dw.get(),
                      .dtype = DTypeOf<TypeParam>::value,
                      .dw_dtype = DType::kF32};
    const DeviceArray<float> workspace(static_cast<std::size_t>(depthwise_wgrad_workspace(op)) / sizeof(float));
    op.workspace = workspace.get();
    op.x = x.get() + 1;
    depthwise_wgrad(op, nullptr);
    workspace.read();
    EXPECT_TRUE(same_bits(dw.read(), weight_gradient<TypeParam, float>(s, in)));
}

TYPED_TEST(DepthwiseKernel, NanReachesItsWindowsAndNoOthers) {
    for (const Case& s : {Case{1, 9, 9, 8, 3}, Case{1, 9, 9, 8, 5, 2}, Case{1, 9, 9, 3, 3}}) {
        SCOPED_TRACE(s.str());
        std::vector<double> values = test::small_integers(test::count_of(s.x()), 7);
        values[static_cast<std::size_t>((4 * s.w + 4) * s.c + 2)] = NAN;
        const DeviceArray<TypeParam> x(values);
        const Inputs<TypeParam> in(s, true);
        const auto want =
            test::run_reference(OpKind::kDepthwiseConv, ConvAttrs{.stride = s.stride, .padding = s.padding},
                                {tensor_of(s.x(), x), tensor_of(s.weights(), in.w)});
        DeviceArray<TypeParam> y(test::count_of(s.y()));
        depthwise_fwd(
            {.shape = s.shape(), .x = x.get(), .w = in.w.get(), .y = y.get(), .dtype = DTypeOf<TypeParam>::value},
            nullptr);
        EXPECT_TRUE(exactly(y.read(), want.out[0].values));
    }
}

// Columns of x that no window reaches.
TYPED_TEST(DepthwiseKernel, WhatNoWindowCoversDoesNotMatter) {
    for (const int c : {8, 3}) {
        const std::vector<double> covered = test::small_integers(static_cast<std::size_t>(5 * 5 * c), 1);
        std::vector<double> padded(static_cast<std::size_t>(5 * 9 * c), NAN);
        for (std::size_t i = 0, row = static_cast<std::size_t>(5 * c); i < covered.size(); ++i) {
            padded[i / row * static_cast<std::size_t>(9 * c) + i % row] = covered[i];
        }
        const DeviceArray<TypeParam> dy(test::small_integers(static_cast<std::size_t>(3 * 3 * c), 2));
        const auto gradient = [&](const std::vector<double>& values, int w) {
            const DeviceArray<TypeParam> x(values);
            const DeviceArray<float> dw(static_cast<std::size_t>(9 * c));
            DepthwiseWgrad op{.shape = {.n = 1, .h = 5, .w = w, .c = c, .kh = 3, .kw = 3, .p = 3, .q = 3},
                              .x = x.get(),
                              .dy = dy.get(),
                              .dw = dw.get(),
                              .dtype = DTypeOf<TypeParam>::value};
            const DeviceArray<char> workspace(static_cast<std::size_t>(depthwise_wgrad_workspace(op)));
            op.workspace = workspace.get();
            depthwise_wgrad(op, nullptr);
            return dw.read();
        };
        EXPECT_TRUE(same_bits(gradient(padded, 9), gradient(covered, 5)));
    }
}

TYPED_TEST(DepthwiseKernel, SameBitsUnderEverySchedule) {
    for (const Case& s : {Case{1, 9, 17, 40, 3}, Case{1, 5, 6, 3, 5, 2}}) {
        const Inputs<TypeParam> in(s, false);
        expect_same_bits_always([&] { return forward(s, in); });
        expect_same_bits_always([&] { return data_gradient(s, in); });
        expect_same_bits_always([&] { return weight_gradient<TypeParam, float>(s, in); });
    }
}

}  // namespace
}  // namespace fer::FER_PORT

// Convolutions on matrix products against the double reference: integers bit for bit, other numbers within derived
// bounds; every tile, split and epilogue.
#include "kernels/conv2d.hpp"

#include <gmock/gmock.h>

#include "tests/kernels/conv2d_layer.hpp"
#include "tests/support/expect_error.hpp"

namespace fer::FER_PORT {
namespace {

using test::ConvShape;
using ::testing::Each;
using ::testing::HasSubstr;

class Conv2dShapes : public ::testing::TestWithParam<ConvShape> {};

TEST_P(Conv2dShapes, ForwardIsExactOnIntegers) {
    for_arithmetics(
        [&]<class T>(T, Arithmetic a) { Conv2dLayer<T>(GetParam(), a, true, Activation::kRelu).check_fwd(); });
}
TEST_P(Conv2dShapes, ForwardIsClose) {
    for_arithmetics([&]<class T>(T, Arithmetic a) { Conv2dLayer<T>(GetParam(), a, false).check_fwd(); });
}
TEST_P(Conv2dShapes, DataGradientIsExactOnIntegers) {
    for_arithmetics([&]<class T>(T, Arithmetic a) { Conv2dLayer<T>(GetParam(), a, true).check_dgrad(); });
}
TEST_P(Conv2dShapes, DataGradientIsClose) {
    for_arithmetics([&]<class T>(T, Arithmetic a) { Conv2dLayer<T>(GetParam(), a, false).check_dgrad(); });
}
TEST_P(Conv2dShapes, WeightGradientIsExactOnIntegers) {
    for_arithmetics([&]<class T>(T, Arithmetic a) { Conv2dLayer<T>(GetParam(), a, true).check_wgrad(); });
}
TEST_P(Conv2dShapes, WeightGradientIsClose) {
    for_arithmetics([&]<class T>(T, Arithmetic a) { Conv2dLayer<T>(GetParam(), a, false).check_wgrad({}, false); });
}

INSTANTIATE_TEST_SUITE_P(Shapes, Conv2dShapes, ::testing::ValuesIn(kernel_conv_shapes()),
                         [](const auto& test) { return test.param.str(); });

// Sums of 5, 5 and 3 tiles in f16 and twice that in f32; rows and columns beyond one tile of the smaller kinds. The
// second has rows of no multiple of 16 bytes.
constexpr ConvShape kSplitShapes[] = {{2, 7, 7, 16, 40, 3}, {2, 7, 7, 17, 37, 3}};

TEST(Conv2d, EveryTileAndSplitIsExact) {
    for (const ConvShape& shape : kSplitShapes) {
        for (const GemmTile tile : {GemmTile::k128x128, GemmTile::k64x64, GemmTile::k128x32}) {
            for (const int splits : {1, 7}) {
                SCOPED_TRACE(shape.str() + " tile " + std::to_string(static_cast<int>(tile)) + " splits " +
                             std::to_string(splits));
                for_arithmetics([&]<class T>(T, Arithmetic a) {
                    const Conv2dLayer<T> layer(shape, a, true, Activation::kRelu6);
                    layer.check_fwd({tile, splits});
                    layer.check_dgrad({tile, splits});
                    layer.check_wgrad({tile, splits}, splits != 1);
                });
            }
        }
    }
}

TEST(Conv2d, SplitDataGradientWithStrideIsExact) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        Conv2dLayer<T>({2, 8, 7, 16, 32, 3, 2}, a, true).check_dgrad({.splits = 3});
        Conv2dLayer<T>({2, 8, 7, 5, 32, 3, 2}, a, true).check_dgrad({.splits = 2});
    });
}

// One row of weights and one of bias.
TEST(Conv2d, SplitWeightGradientOfOneRowIsExact) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        Conv2dLayer<T>({2, 6, 6, 1, 8, 1}, a, true).check_wgrad({.splits = 2});
    });
}

TEST(Conv2d, WholeSumsNeedNoWorkspace) {
    Conv2d a{.shape = geometry(kSplitShapes[0]), .x = nullptr, .w = nullptr, .y = nullptr, .choice = {.splits = 1}};
    EXPECT_EQ(conv2d_fwd_workspace(a), 0);
    a.choice.splits = 2;
    EXPECT_GT(conv2d_fwd_workspace(a), 0);
}

TEST(Conv2d, ResidualMayBeTheOutput) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        for (const int splits : {1, 2}) {
            const Conv2dLayer<T> layer(kSplitShapes[static_cast<std::size_t>(splits - 1)], a, true, Activation::kRelu);
            const auto want = layer.run_fwd({.splits = splits});
            const DeviceArray<T> y(layer.residual.inputs());
            Conv2d args{.shape = layer.shape,
                        .x = layer.x.get(),
                        .w = layer.w.get(),
                        .bias = layer.bias.get(),
                        .residual = y.get(),
                        .y = y.get(),
                        .activation = Activation::kRelu,
                        .dtype = dtype_of(a),
                        .tf32 = a == Arithmetic::kTf32,
                        .choice = {.splits = splits}};
            const auto workspace = workspace_of(conv2d_fwd_workspace(args));
            args.workspace = workspace.get();
            conv2d_fwd(args, nullptr);
            EXPECT_TRUE(test::close(y.doubles(), want, test::exact()));
        }
    });
}

TEST(Conv2d, ResultsMayBeFloat32) {
    for (const ConvShape& shape : kSplitShapes) {
        const Conv2dLayer<__half> half(shape, Arithmetic::kF16, true);
        const Conv2dLayer<float> full(shape, Arithmetic::kF32, true);
        const Conv2dShape& s = half.shape;
        DeviceArray<float> y(static_cast<std::size_t>(y_shape(s).count()));
        conv2d_fwd({.shape = s,
                    .x = half.x.get(),
                    .w = half.w.get(),
                    .bias = half.bias.get(),
                    .residual = half.residual.get(),
                    .y = y.get(),
                    .dtype = DType::kF16,
                    .y_dtype = DType::kF32},
                   nullptr);
        EXPECT_TRUE(test::close(y.doubles(), full.run_fwd({}), test::exact()));
        DeviceArray<float> dx(static_cast<std::size_t>(x_shape(s).count()));
        conv2d_dgrad({.shape = s,
                      .dy = half.dy.get(),
                      .w = half.w.get(),
                      .dx = dx.get(),
                      .dtype = DType::kF16,
                      .dx_dtype = DType::kF32},
                     nullptr);
        EXPECT_TRUE(test::close(dx.doubles(), full.run_dgrad({}), test::exact()));
        DeviceArray<float> dw(static_cast<std::size_t>(w_shape(s).count()));
        conv2d_wgrad({.shape = s,
                      .x = half.x.get(),
                      .dy = half.dy.get(),
                      .dw = dw.get(),
                      .dtype = DType::kF16,
                      .dw_dtype = DType::kF32},
                     nullptr);
        EXPECT_TRUE(test::close(dw.doubles(), full.run_wgrad({}, false), test::exact()));
    }
}

/// Mean and squared deviations per channel over parts of the rows of y, in double.
std::vector<double> moments_of(const std::vector<double>& y, std::size_t k, std::size_t part) {
    const std::size_t rows = y.size() / k;
    std::vector<double> all;
    for (std::size_t first = 0; first < rows; first += part) {
        const std::size_t last = std::min(rows, first + part);
        std::vector<double> means(k), squares(k);
        for (std::size_t c = 0; c < k; ++c) {
            for (std::size_t r = first; r < last; ++r) {
                means[c] += y[r * k + c] / static_cast<double>(last - first);
            }
            for (std::size_t r = first; r < last; ++r) {
                squares[c] += (y[r * k + c] - means[c]) * (y[r * k + c] - means[c]);
            }
        }
        all.insert(all.end(), means.begin(), means.end());
        all.insert(all.end(), squares.begin(), squares.end());
    }
    return all;
}

TEST(Conv2d, MomentsAreThoseOfTheStoredOutput) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        for (const ConvShape& shape : {ConvShape{2, 9, 9, 8, 40, 3}, ConvShape{1, 9, 8, 3, 37, 3}}) {
            for (const GemmTile tile : {GemmTile::k128x128, GemmTile::k64x64, GemmTile::k128x32}) {
                const Conv2dLayer<T> layer(shape, a, false);
                // A mean far from zero: sums of squares would lose the variance.
                const DeviceArray<float> bias(std::vector<double>(static_cast<std::size_t>(layer.shape.k), 100.0));
                DeviceArray<T> y(static_cast<std::size_t>(y_shape(layer.shape).count()));
                Conv2d args{.shape = layer.shape,
                            .x = layer.x.get(),
                            .w = layer.w.get(),
                            .bias = bias.get(),
                            .y = y.get(),
                            .activation = Activation::kRelu,
                            .dtype = dtype_of(a),
                            .tf32 = a == Arithmetic::kTf32,
                            .choice = {tile, 3}};
                float not_null = 0;
                args.moments = &not_null;
                const GemmPlan plan = conv2d_fwd_plan(args);
                EXPECT_EQ(plan.splits, 1);
                DeviceArray<float> moments(static_cast<std::size_t>(plan.tiles_m * 2 * layer.shape.k));
                args.moments = moments.get();
                conv2d_fwd(args, nullptr);
                const auto want = moments_of(y.doubles(), static_cast<std::size_t>(layer.shape.k),
                                             static_cast<std::size_t>(plan.rows));
                const double largest = 128;
                EXPECT_TRUE(test::close(moments.doubles(), want, test::float_sum(plan.rows, largest)));
            }
        }
    });
}

TEST(Conv2d, NanReachesWhatReadsIt) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        const ConvShape shape{1, 6, 6, 8, 8, 3};
        const Conv2dLayer<T> layer(shape, a, true);
        std::vector<double> values = layer.x.inputs();
        values[(2 * 6 + 3) * 8 + 1] = NAN;  // pixel (2, 3): read by the 3x3 outputs around it
        const DeviceArray<T> x(values);
        const DeviceArray<T> out(static_cast<std::size_t>(y_shape(layer.shape).count()));
        conv2d_fwd({.shape = layer.shape,
                    .x = x.get(),
                    .w = layer.w.get(),
                    .y = out.get(),
                    .activation = Activation::kRelu,
                    .dtype = dtype_of(a),
                    .tf32 = a == Arithmetic::kTf32},
                   nullptr);
        const std::vector<double> y = out.doubles();
        for (std::size_t i = 0; i < y.size(); ++i) {
            const std::size_t row = i / 8 / 6;
            const std::size_t column = i / 8 % 6;
            const bool reads = row >= 1 && row <= 3 && column >= 2 && column <= 4;
            EXPECT_EQ(std::isnan(y[i]), reads) << row << "," << column;
        }
    });
}

TEST(Conv2d, OverflowBecomesInfinityAndActivationsClip) {
    const std::vector<double> large(8, 250.0);  // 8 * 250 * 250 = 500000
    const DeviceArray<__half> x(large);
    const DeviceArray<__half> w(std::vector<double>(64, 250.0));
    const Conv2dShape s{.n = 1, .h = 1, .w = 1, .c = 8, .kh = 1, .kw = 1, .k = 8, .p = 1, .q = 1};
    for (const Activation act : {Activation::kNone, Activation::kRelu6}) {
        DeviceArray<__half> y(8);
        conv2d_fwd({.shape = s, .x = x.get(), .w = w.get(), .y = y.get(), .activation = act, .dtype = DType::kF16},
                   nullptr);
        EXPECT_THAT(y.doubles(), Each(act == Activation::kNone ? HUGE_VAL : 6.0));
    }
}

TEST(Conv2d, NothingToDoIsNoLaunch) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        Conv2dShape s = geometry({0, 4, 4, 8, 8, 3});
        conv2d_fwd({.shape = s, .x = nullptr, .w = nullptr, .y = nullptr, .dtype = dtype_of(a)}, nullptr);
        conv2d_dgrad({.shape = s, .dy = nullptr, .w = nullptr, .dx = nullptr, .dtype = dtype_of(a)}, nullptr);
        s = geometry({1, 4, 4, 8, 0, 3});
        conv2d_fwd({.shape = s, .x = nullptr, .w = nullptr, .y = nullptr, .dtype = dtype_of(a)}, nullptr);
        conv2d_wgrad({.shape = s, .x = nullptr, .dy = nullptr, .dw = nullptr, .dtype = dtype_of(a)}, nullptr);
    });
}

TEST(Conv2d, EmptySumsAreZero) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        const Conv2dLayer<T> no_batch({0, 4, 4, 8, 8, 3}, a, true);
        EXPECT_THAT(no_batch.run_wgrad({}), Each(0.0));
        EXPECT_THAT(no_batch.run_wgrad({.splits = 2}), Each(0.0));
        const Conv2dLayer<T> no_outputs({1, 4, 4, 8, 0, 3}, a, true);
        EXPECT_THAT(no_outputs.run_dgrad({}), Each(0.0));
        const Conv2dLayer<T> no_inputs({1, 2, 2, 0, 8, 3}, a, true);
        Conv2dLayer<T>({1, 2, 2, 0, 8, 3}, a, true).check_fwd();
        no_inputs.check_wgrad();
    });
}

TEST(Conv2d, RefusalsNameTheReason) {
    const Conv2dShape s = geometry({1, 4, 4, 8, 8, 3});
    const DeviceArray<float> memory(4096);
    Conv2d a{.shape = s, .x = memory.get(), .w = memory.get(), .y = memory.get()};
    a.x = memory.get() + 1;
    EXPECT_THAT(test::error_of<UsageError>([&] { conv2d_fwd(a, nullptr); }), HasSubstr("16-byte aligned"));
    a.x = memory.get();
    a.choice.splits = 2;
    EXPECT_THAT(test::error_of<UsageError>([&] { conv2d_fwd(a, nullptr); }), HasSubstr("needs its workspace"));
    a.choice = {};
    a.y_dtype = DType::kF16;
    EXPECT_THAT(test::error_of<UsageError>([&] { conv2d_fwd(a, nullptr); }), HasSubstr("gives f32 or f32, not f16"));
    a.dtype = DType::kF16;
    a.tf32 = true;
    EXPECT_THAT(test::error_of<UsageError>([&] { conv2d_fwd(a, nullptr); }), HasSubstr("tf32"));
    a.dtype = DType::kF64;
    EXPECT_THAT(test::error_of<UsageError>([&] { conv2d_fwd(a, nullptr); }), HasSubstr("not f64"));
    a = {.shape = s, .x = memory.get(), .w = memory.get(), .y = memory.get()};
    a.shape.stride = 0;
    EXPECT_THAT(test::error_of<UsageError>([&] { conv2d_fwd(a, nullptr); }), HasSubstr("stride of 0"));
    a.shape.stride = 1;
    a.shape.n = 1 << 24;
    EXPECT_THROW(conv2d_fwd(a, nullptr), UsageError);  // 2^31 elements
}

TEST(Conv2d, ChosenPlansFillTheCard) {
    const auto plan = [](const ConvShape& shape) {
        return conv2d_wgrad_plan(
            {.shape = geometry(shape), .x = nullptr, .dy = nullptr, .dw = nullptr, .dtype = DType::kBF16});
    };
    // custom_cnn's third layer: 9 or fewer tiles, so the sum over 36,864 pixels is what is shared out.
    const GemmPlan third = plan({64, 24, 24, 64, 128, 3});
    EXPECT_GT(third.blocks(), detail::kMultiprocessors / 2);
    EXPECT_GE(third.k_tiles_per_split, detail::kLeastTilesPerSplit);
    EXPECT_GE(third.k_tiles_per_split * third.splits, third.k_tiles);
    EXPECT_LT(third.k_tiles_per_split * (third.splits - 1), third.k_tiles);
    const Conv2d sixth{
        .shape = geometry({64, 11, 11, 512, 512, 3}), .x = nullptr, .w = nullptr, .y = nullptr, .dtype = DType::kBF16};
    EXPECT_EQ(conv2d_fwd_plan(sixth).tile, GemmTile::k128x128);
    Conv2d first{
        .shape = geometry({64, 48, 48, 1, 32, 3}), .x = nullptr, .w = nullptr, .y = nullptr, .dtype = DType::kBF16};
    EXPECT_EQ(conv2d_fwd_plan(first).tile, GemmTile::k128x32);
    EXPECT_EQ(conv2d_fwd_plan(first).splits, 1);
    first.choice.tile = GemmTile::k128x128;  // rows of 2 bytes: the tile does not exist
    EXPECT_EQ(conv2d_fwd_plan(first).tile, GemmTile::k64x64);
}

TEST(Conv2d, SameBitsUnderEverySchedule) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        for (const ConvShape& shape : {ConvShape{1, 7, 7, 32, 40, 3}, ConvShape{1, 7, 6, 5, 7, 3, 2}}) {
            const Conv2dLayer<T> layer(shape, a, false, Activation::kRelu);
            expect_same_bits_always([&] { return layer.run_fwd({}); });
            expect_same_bits_always([&] { return layer.run_dgrad({.splits = 2}); });
            expect_same_bits_always([&] { return layer.run_wgrad({.splits = 2}); });
        }
    });
}

}  // namespace
}  // namespace fer::FER_PORT

// Batch normalization: statistics, and every fusion against the ops it stands for.
#include "kernels/batch_norm.hpp"

#include "tests/kernels/batch_norm_bounds.hpp"
#include "tests/support/shapes.hpp"

namespace fer::FER_PORT {
namespace {

constexpr double kEpsilon = 1e-3;

std::vector<Shape> shapes() {
    std::vector<Shape> list = {{1, 1},         {1, 32},        {2, 31},         {31, 1},
                               {32, 8},        {33, 8},        {255, 2},        {256, 3},
                               {257, 1},       {1, 1, 1, 8},   {1, 48, 48, 32}, {5, 7, 11, 1},
                               {1, 2, 2, 128}, {1, 5, 5, 520}, {3, 1, 7, 24},   {1, 300, 9, 5}};
    for (Shape shape : test::batch_norm_shapes()) {
        if (shape.rank() == 4 && shape.count() > 20000) {  // the emulator is slower than a CPU
            shape[1] = shape[1] / 2 + 1;
        }
        list.push_back(shape);
    }
    return list;
}

/// A layer's tensors, as the kernels read them.
template <class T>
struct Layer {
    Shape shape;
    int c;
    std::int64_t rows;
    DeviceArray<T> x;
    DeviceArray<float> gamma, beta, mean, variance;

    explicit Layer(const Shape& s, const std::vector<double>& values = {})
        : shape(s),
          c(as_int(s.back())),
          rows(s.count() / s.back()),
          x(values.empty() ? test::uniform(size(), 1, -1, 3) : values),
          gamma(test::uniform(channels(), 2, 0.5, 1.5)),
          beta(test::uniform(channels(), 3)),
          mean(channels()),
          variance(channels()) {}

    std::size_t size() const { return static_cast<std::size_t>(shape.count()); }
    std::size_t channels() const { return static_cast<std::size_t>(shape.back()); }
    bool image() const { return shape.rank() == 4; }
    Shape per_channel() const { return {shape.back()}; }

    void stats(float* moving_mean = nullptr, float* moving_variance = nullptr) {
        const DeviceArray<char> workspace(batch_norm_workspace(rows, c));
        batch_norm_stats({.x = x.get(),
                          .dtype = DTypeOf<T>::value,
                          .rows = rows,
                          .c = c,
                          .mean = mean.get(),
                          .variance = variance.get(),
                          .moving_mean = moving_mean,
                          .moving_variance = moving_variance,
                          .momentum = 0.9,
                          .unbiased = image(),
                          .workspace = workspace.get()},
                         nullptr);
        workspace.read();
        x.expect_unchanged();
    }
    test::Tensor channel_tensor(const DeviceArray<float>& array) const {
        return {per_channel(), array.doubles(), DType::kF64};
    }
    NormScales scales() const {
        return {static_cast<double>(rows), x.inputs(), gamma.inputs(), variance.doubles(), kEpsilon};
    }
    std::vector<T> apply(Activation activation, const DeviceArray<T>* residual = nullptr) const {
        DeviceArray<T> y(size());
        batch_norm_apply({.x = x.get(),
                          .mean = mean.get(),
                          .variance = variance.get(),
                          .gamma = gamma.get(),
                          .beta = beta.get(),
                          .residual = residual == nullptr ? nullptr : residual->get(),
                          .y = y.get(),
                          .dtype = DTypeOf<T>::value,
                          .rows = rows,
                          .c = c,
                          .activation = activation},
                         nullptr);
        x.expect_unchanged();
        return y.read();
    }
};

template <class T>
std::vector<double> to_doubles(const std::vector<T>& values) {
    std::vector<double> out;
    for (const T v : values) {
        out.push_back(as_double(v));
    }
    return out;
}

template <class T>
class BatchNormKernel : public ::testing::Test {};
TYPED_TEST_SUITE(BatchNormKernel, StorageTypes);

TYPED_TEST(BatchNormKernel, StatisticsMatchReference) {
    for (const Shape& shape : shapes()) {
        SCOPED_TRACE(shape.str());
        Layer<TypeParam> layer(shape);
        auto moving_mean = DeviceArray<float>(test::uniform(layer.channels(), 4));
        auto moving_variance = DeviceArray<float>(test::uniform(layer.channels(), 5, 0.5, 2));
        const auto want = test::run_reference(
            OpKind::kBatchNorm, BatchNormAttrs{.momentum = 0.9, .epsilon = kEpsilon},
            {tensor_of(shape, layer.x), layer.channel_tensor(layer.gamma), layer.channel_tensor(layer.beta)},
            {tensor_of(layer.per_channel(), moving_mean), tensor_of(layer.per_channel(), moving_variance)});
        layer.stats(moving_mean.get(), moving_variance.get());
        const NormScales scales = layer.scales();
        EXPECT_TRUE(test::close(layer.mean.doubles(), want.out[1].values, scales.mean()));
        EXPECT_TRUE(test::close(layer.variance.doubles(), want.out[2].values, scales.variance()));
        const test::Tolerance rounded{scales.mean().absolute, test::kRoundFloat};
        EXPECT_TRUE(test::close(moving_mean.doubles(), want.state[0].values, rounded));
        const test::Tolerance spread{2 * scales.variance().absolute, 2 * scales.variance().relative};
        EXPECT_TRUE(test::close(moving_variance.doubles(), want.state[1].values, spread));
    }
}

TYPED_TEST(BatchNormKernel, ApplyMatchesReference) {
    for (const Shape& shape : shapes()) {
        SCOPED_TRACE(shape.str());
        Layer<TypeParam> layer(shape);
        layer.stats();
        const auto want = test::run_reference(
            OpKind::kBatchNormInference, BatchNormAttrs{.epsilon = kEpsilon},
            {tensor_of(shape, layer.x), layer.channel_tensor(layer.gamma), layer.channel_tensor(layer.beta),
             layer.channel_tensor(layer.mean), layer.channel_tensor(layer.variance)});
        EXPECT_TRUE(test::close(to_doubles(layer.apply(Activation::kNone)), want.out[0].values,
                                stored_as<TypeParam>(layer.scales().output())));
        layer.gamma.expect_unchanged();
    }
}

TYPED_TEST(BatchNormKernel, ActivationComesAfterTheResidual) {
    for (const Shape& shape : {Shape{5, 24}, Shape{2, 3, 5, 7}, Shape{1, 13, 13, 16}}) {
        Layer<TypeParam> layer(shape);
        layer.stats();
        const DeviceArray<TypeParam> residual(test::uniform(layer.size(), 6, -8, 8));
        const std::vector<double> plain = to_doubles(layer.apply(Activation::kNone));
        for (const Activation activation : {Activation::kRelu, Activation::kRelu6}) {
            const double top = activation == Activation::kRelu6 ? 6 : HUGE_VAL;
            std::vector<double> want = plain;
            for (double& v : want) {
                v = std::clamp(v, 0.0, top);
            }
            EXPECT_TRUE(exactly(layer.apply(activation), want));
            want = plain;
            for (std::size_t i = 0; i < want.size(); ++i) {
                want[i] = std::clamp(want[i] + residual.inputs()[i], 0.0, top);
            }
            // One rounding of the normalized value is in `want` but not in the fused result.
            const test::Tolerance bound = stored_as<TypeParam>(
                {2 * kStoredRound<TypeParam> * largest(plain) + 2 * test::kRoundFloat * largest(residual.inputs()), 0});
            EXPECT_TRUE(test::close(to_doubles(layer.apply(activation, &residual)), want, bound));
        }
    }
}

TYPED_TEST(BatchNormKernel, WorksInPlace) {
    Layer<TypeParam> layer({3, 5, 5, 16});
    layer.stats();
    const auto want = layer.apply(Activation::kRelu);
    const auto y = DeviceArray<TypeParam>(layer.x.inputs());
    batch_norm_apply({.x = y.get(),
                      .mean = layer.mean.get(),
                      .variance = layer.variance.get(),
                      .gamma = layer.gamma.get(),
                      .beta = layer.beta.get(),
                      .y = y.get(),
                      .dtype = DTypeOf<TypeParam>::value,
                      .rows = layer.rows,
                      .c = layer.c,
                      .activation = Activation::kRelu},
                     nullptr);
    EXPECT_TRUE(same_bits(y.read(), want));
}

TYPED_TEST(BatchNormKernel, InferenceGradientMatchesReference) {
    for (const Shape& shape : shapes()) {
        SCOPED_TRACE(shape.str());
        Layer<TypeParam> layer(shape);
        layer.stats();
        const DeviceArray<TypeParam> dy(test::uniform(layer.size(), 7));
        DeviceArray<TypeParam> dx(layer.size());
        const auto want = test::run_reference(
            OpKind::kBatchNormInferenceGrad, BatchNormAttrs{.epsilon = kEpsilon},
            {tensor_of(shape, dy), layer.channel_tensor(layer.gamma), layer.channel_tensor(layer.variance)});
        batch_norm_inference_bwd({.dy = dy.get(),
                                  .variance = layer.variance.get(),
                                  .gamma = layer.gamma.get(),
                                  .dx = dx.get(),
                                  .dtype = DTypeOf<TypeParam>::value,
                                  .rows = layer.rows,
                                  .c = layer.c},
                                 nullptr);
        EXPECT_TRUE(test::close(dx.doubles(), want.out[0].values, stored_as<TypeParam>(test::float_steps(6, 0))));
        dy.expect_unchanged();
    }
}

TYPED_TEST(BatchNormKernel, SameBitsUnderEverySchedule) {
    for (const Shape& shape : {Shape{1, 11, 11, 48}, Shape{3, 5, 5, 17}, Shape{70, 3}}) {
        expect_same_bits_always([&] {
            Layer<TypeParam> layer(shape);
            layer.stats();
            std::vector<float> both = layer.mean.read();
            const std::vector<float> variance = layer.variance.read();
            both.insert(both.end(), variance.begin(), variance.end());
            return both;
        });
    }
}

TYPED_TEST(BatchNormKernel, NanSpoilsItsChannelAlone) {
    for (const int c : {3, 16}) {
        std::vector<double> x = test::uniform(static_cast<std::size_t>(40 * c), 1);
        x[static_cast<std::size_t>(7 * c + 1)] = NAN;
        Layer<TypeParam> layer({40, c}, x);
        layer.stats();
        const std::vector<double> y = to_doubles(layer.apply(Activation::kRelu));
        for (std::size_t i = 0; i < y.size(); ++i) {
            EXPECT_EQ(std::isnan(y[i]), i % static_cast<std::size_t>(c) == 1) << i;
        }
    }
}

TEST(BatchNormStats, LargeMeanKeepsTheVariance) {
    std::vector<double> x = test::uniform(3000, 8, -0.1, 0.1);
    for (double& v : x) {
        v += 1000;
    }
    Layer<float> layer({3000, 1}, x);
    layer.stats();
    double mean = 0, squares = 0;
    for (const double v : layer.x.inputs()) {
        mean += v / 3000;
    }
    for (const double v : layer.x.inputs()) {
        squares += (v - mean) * (v - mean);
    }
    EXPECT_TRUE(test::close(layer.variance.doubles()[0], squares / 3000, layer.scales().variance()));
}

// In thirds of a row apart at 2^23: a difference of squares would lose the variance, 2/9, even in double.
TEST(BatchNormFinalizeKernel, MeansOfPartsMayBeLarge) {
    const DeviceArray<float> partials(std::vector<double>{0x1p23, 0, 0x1p23 + 1, 0, 0x1p23 + 1, 0});
    const DeviceArray<float> mean(1), variance(1);
    BatchNormFinalize a{.partials = partials.get(),
                        .rows = 12,
                        .rows_per_part = 4,
                        .c = 1,
                        .mean = mean.get(),
                        .variance = variance.get()};
    batch_norm_finalize(a, nullptr);
    EXPECT_EQ(mean.doubles()[0], 0x1p23 + 1);  // rounded from 2/3
    EXPECT_TRUE(test::close(variance.doubles()[0], 2.0 / 9, test::float_steps(1)));
    a.rows_per_part = 0;
    EXPECT_THROW(batch_norm_finalize(a, nullptr), UsageError);
}

TEST(BatchNormStats, NoRowsChangeNothing) {
    Layer<float> layer({0, 4});
    auto moving = DeviceArray<float>(test::uniform(4, 9));
    layer.stats(moving.get(), moving.get());
    moving.expect_unchanged();
}

// What the epilogue of a convolution leaves: sums and sums of squares of integers, exact in float32.
TEST(BatchNormFinalizeKernel, SumsGiveTheSameAsMoments) {
    for (const auto& [rows, per_part, c] : std::vector<std::tuple<std::int64_t, std::int64_t, int>>{
             {1, 1, 1},      {1, 128, 8},   {2, 1, 7},      {7, 2, 3},     {31, 32, 8},  {32, 32, 9},
             {33, 32, 1},    {63, 8, 16},   {64, 64, 64},   {97, 13, 48},  {127, 4, 5},  {128, 128, 32},
             {129, 128, 32}, {255, 1, 3},   {256, 64, 100}, {257, 16, 31}, {512, 2, 33}, {1000, 64, 5},
             {1031, 8, 12},  {4096, 31, 9}, {300, 300, 255}}) {
        SCOPED_TRACE(fmt::format("{} rows, {} per part, {} channels", rows, per_part, c));
        const auto parts = static_cast<std::size_t>((rows + per_part - 1) / per_part);
        const auto channels = static_cast<std::size_t>(c);
        const std::vector<double> x = test::small_integers(static_cast<std::size_t>(rows) * channels, 10);
        std::vector<double> sums(parts * 2 * channels), mean(channels), variance(channels);
        for (std::size_t i = 0; i < x.size(); ++i) {
            const std::size_t part = i / channels / static_cast<std::size_t>(per_part);
            sums[part * 2 * channels + i % channels] += x[i];
            sums[(part * 2 + 1) * channels + i % channels] += x[i] * x[i];
            mean[i % channels] += x[i] / static_cast<double>(rows);
        }
        for (std::size_t i = 0; i < x.size(); ++i) {
            variance[i % channels] += std::pow(x[i] - mean[i % channels], 2) / static_cast<double>(rows);
        }
        const DeviceArray<float> partials(sums);
        const DeviceArray<float> got_mean(channels), got_variance(channels);
        batch_norm_finalize({.partials = partials.get(),
                             .moments = Moments::kSums,
                             .rows = rows,
                             .rows_per_part = per_part,
                             .c = c,
                             .mean = got_mean.get(),
                             .variance = got_variance.get()},
                            nullptr);
        partials.expect_unchanged();
        const test::Tolerance bound = test::float_steps(1, 0);
        const double sum_error = test::double_sum(rows, 16).absolute;
        EXPECT_TRUE(test::close(got_mean.doubles(), mean, {sum_error, 2 * bound.relative}));
        EXPECT_TRUE(test::close(got_variance.doubles(), variance, {sum_error, 2 * bound.relative}));
    }
}

}  // namespace
}  // namespace fer::FER_PORT

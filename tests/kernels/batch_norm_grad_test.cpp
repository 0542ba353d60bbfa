// Gradients of batch normalization and its fusion with a max pool, against the ops they stand for.
#include "kernels/batch_norm.hpp"
#include "tests/kernels/batch_norm_bounds.hpp"
#include "tests/support/shapes.hpp"

namespace fer::FER_PORT {
namespace {

constexpr double kEpsilon = 1e-3;

/// With exact zeros among them, as a ReLU leaves them.
std::vector<double> with_zeros(std::vector<double> values) {
    for (std::size_t i = 0; i < values.size(); i += 3) {
        values[i] = 0;
    }
    return values;
}

/// A layer in training: statistics as the forward kernels leave them.
template <class T>
struct Trained {
    Shape shape;
    int c;
    std::int64_t rows;
    std::size_t size, channels;
    DeviceArray<T> x;
    DeviceArray<float> gamma, beta, mean, variance, dgamma, dbeta;
    DeviceArray<char> workspace;

    /// `gammas`: all of them; 0: each its own, of [0.5, 1.5).
    explicit Trained(const Shape& s, double gammas = 0)
        : shape(s),
          c(as_int(s.back())),
          rows(s.count() / s.back()),
          size(static_cast<std::size_t>(s.count())),
          channels(static_cast<std::size_t>(s.back())),
          x(with_zeros(test::uniform(size, 1, -1, 3))),
          gamma(gammas == 0 ? test::uniform(channels, 2, 0.5, 1.5) : std::vector<double>(channels, gammas)),
          beta(test::uniform(channels, 3)),
          mean(channels),
          variance(channels),
          dgamma(channels),
          dbeta(channels),
          workspace(batch_norm_workspace(rows, c)) {
        batch_norm_stats({.x = x.get(),
                          .dtype = DTypeOf<T>::value,
                          .rows = rows,
                          .c = c,
                          .mean = mean.get(),
                          .variance = variance.get(),
                          .workspace = workspace.get()},
                         nullptr);
    }

    test::Tensor channel_tensor(const DeviceArray<float>& a) const {
        return {{shape.back()}, a.doubles(), DType::kF64};
    }
    test::Tensor like_x(std::vector<double> values) const { return {shape, std::move(values), DType::kF64}; }

    std::vector<double> forward(Activation activation, const DeviceArray<T>* residual = nullptr) const {
        const DeviceArray<T> y(size);
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
        return y.doubles();
    }

    /// Compares dx, dgamma and dbeta with the reference for this dz.
    void expect_gradients(const DeviceArray<T>& dx, const std::vector<double>& dz, bool x_is_relu,
                          double value_error = 0) const {
        const auto want = test::run_reference(
            OpKind::kBatchNormGrad, BatchNormAttrs{.epsilon = kEpsilon},
            {like_x(dz), like_x(x.inputs()), channel_tensor(gamma), channel_tensor(mean), channel_tensor(variance)});
        std::vector<double> want_dx = want.out[0].values;
        for (std::size_t i = 0; i < size && x_is_relu; ++i) {
            want_dx[i] = x.inputs()[i] > 0 ? want_dx[i] : 0;
        }
        const NormScales scales(static_cast<double>(rows), x.inputs(), gamma.inputs(), variance.doubles(), kEpsilon);
        const NormGradScales bounds{scales, largest(dz), value_error, largest(want.out[2].values),
                                    largest(want.out[1].values)};
        EXPECT_TRUE(test::close(dgamma.doubles(), want.out[1].values, bounds.gamma()));
        EXPECT_TRUE(test::close(dbeta.doubles(), want.out[2].values, bounds.beta()));
        EXPECT_TRUE(test::close(dx.doubles(), want_dx, stored_as<T>(bounds.input())));
        x.expect_unchanged();
        gamma.expect_unchanged();
        workspace.read();
    }
};

std::vector<double> masked(const std::vector<double>& dy, const std::vector<double>& y, Activation activation) {
    std::vector<double> dz = dy;
    for (std::size_t i = 0; i < dz.size(); ++i) {
        const bool through =
            activation == Activation::kNone || (y[i] > 0 && (activation == Activation::kRelu || y[i] < 6));
        dz[i] = through ? dz[i] : 0;
    }
    return dz;
}

template <class T>
class BatchNormGradKernel : public ::testing::Test {};
TYPED_TEST_SUITE(BatchNormGradKernel, StorageTypes);

struct GradCase {
    Activation activation = Activation::kNone;
    bool residual = false, x_is_relu = false;
};

template <class T>
void check_gradient(const Shape& shape, const GradCase& how) {
    const Trained<T> layer(shape);
    const DeviceArray<T> residual(test::uniform(layer.size, 6, -2, 2));
    const DeviceArray<T> y(layer.forward(how.activation, how.residual ? &residual : nullptr));
    const DeviceArray<T> dy(test::uniform(layer.size, 7));
    const DeviceArray<T> dx(layer.size), dresidual(layer.size);
    BatchNormGrad a{.dy = dy.get(),
                    .x = layer.x.get(),
                    .y = how.residual ? y.get() : nullptr,
                    .mean = layer.mean.get(),
                    .variance = layer.variance.get(),
                    .gamma = layer.gamma.get(),
                    .beta = layer.beta.get(),
                    .dx = dx.get(),
                    .dresidual = how.residual ? dresidual.get() : nullptr,
                    .dgamma = layer.dgamma.get(),
                    .dbeta = layer.dbeta.get(),
                    .dtype = DTypeOf<T>::value,
                    .rows = layer.rows,
                    .c = layer.c,
                    .activation = how.activation,
                    .x_is_relu = how.x_is_relu,
                    .workspace = layer.workspace.get()};
    batch_norm_bwd(a, nullptr);
    const std::vector<double> dz = masked(dy.inputs(), y.inputs(), how.activation);
    layer.expect_gradients(dx, dz, how.x_is_relu);
    if (how.residual) {
        EXPECT_TRUE(exactly(dresidual.read(), dz));
    }
    dy.expect_unchanged();
    a.dx = dy.get();
    batch_norm_bwd(a, nullptr);
    EXPECT_TRUE(same_bits(dy.read(), dx.read())) << "in place";
}

TYPED_TEST(BatchNormGradKernel, MatchesReference) {
    std::vector<Shape> shapes = {{1, 1}, {2, 31}, {257, 1}, {256, 3}, {1, 5, 5, 264}, {5, 7, 11, 1}};
    for (Shape shape : test::batch_norm_shapes()) {
        shape[1] = shape.rank() == 4 ? std::min<std::int64_t>(shape[1], 12) : shape[1];
        shapes.push_back(shape);
    }
    for (const Shape& shape : shapes) {
        SCOPED_TRACE(shape.str());
        check_gradient<TypeParam>(shape, {});
    }
}

TYPED_TEST(BatchNormGradKernel, FusedMasksMatchReference) {
    for (const Shape& shape : {Shape{5, 24}, Shape{2, 3, 5, 7}, Shape{1, 13, 13, 16}, Shape{40, 1}}) {
        for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kRelu6}) {
            for (const bool flag : {false, true}) {
                SCOPED_TRACE(fmt::format("{} activation {} {}", shape.str(), static_cast<int>(activation), flag));
                check_gradient<TypeParam>(shape, {activation, flag, false});
                check_gradient<TypeParam>(shape, {activation, false, flag});
            }
        }
    }
}

/// A fused normalization and pool, forward.
template <class T>
struct Pooled {
    Shape shape;
    DeviceArray<T> p;
    DeviceArray<std::uint8_t> argmax;

    Pooled(const Trained<T>& layer, Activation activation)
        : shape{layer.shape[0], layer.shape[1] / 2, layer.shape[2] / 2, layer.shape[3]},
          p(static_cast<std::size_t>(shape.count())),
          argmax(p.size()) {
        batch_norm_pool({.x = layer.x.get(),
                         .mean = layer.mean.get(),
                         .variance = layer.variance.get(),
                         .gamma = layer.gamma.get(),
                         .beta = layer.beta.get(),
                         .p = p.get(),
                         .argmax = argmax.get(),
                         .dtype = DTypeOf<T>::value,
                         .n = as_int(layer.shape[0]),
                         .h = as_int(layer.shape[1]),
                         .w = as_int(layer.shape[2]),
                         .c = layer.c,
                         .activation = activation},
                        nullptr);
    }
};

const std::vector<Shape> kPoolShapes = {
    {2, 24, 24, 32}, {1, 22, 22, 8}, {2, 11, 11, 48}, {3, 5, 5, 17}, {1, 2, 2, 1},    {1, 3, 2, 3},    {1, 2, 3, 5},
    {2, 5, 7, 3},    {1, 1, 1, 8},   {1, 1, 6, 4},    {4, 6, 1, 2},  {1, 12, 12, 64}, {2, 4, 4, 31},   {1, 6, 6, 33},
    {5, 2, 2, 7},    {1, 9, 8, 16},  {2, 7, 7, 24},   {1, 4, 4, 96}, {1, 10, 3, 1},   {1, 13, 13, 40}, {1, 8, 8, 264}};

TYPED_TEST(BatchNormGradKernel, PoolEqualsTheSeparateKernels) {
    for (const Shape& shape : kPoolShapes) {
        for (const Activation activation : {Activation::kNone, Activation::kRelu}) {
            SCOPED_TRACE(shape.str());
            const Trained<TypeParam> layer(shape);
            const Pooled<TypeParam> pooled(layer, activation);
            if (pooled.shape.count() == 0) {
                continue;
            }
            const auto want =
                test::run_reference(OpKind::kMaxPool, PoolAttrs{}, {layer.like_x(layer.forward(activation))});
            EXPECT_TRUE(exactly(pooled.p.read(), want.out[0].values));
            EXPECT_TRUE(exactly(pooled.argmax.read(), want.out[1].values));
        }
    }
}

TYPED_TEST(BatchNormGradKernel, TheFirstNanOfAWindowWins) {
    for (const Shape& shape : {Shape{1, 4, 6, 16}, Shape{2, 5, 4, 3}}) {
        const Trained<TypeParam> layer(shape);
        std::vector<double> values = layer.x.inputs();
        for (std::size_t i = 0; i < values.size(); i += 5) {
            values[i] = NAN;
        }
        const DeviceArray<TypeParam> x(values);
        FER_CUDA(cudaMemcpy(layer.x.get(), x.get(), layer.size * sizeof(TypeParam), cudaMemcpyDeviceToDevice));
        const Pooled<TypeParam> pooled(layer, Activation::kNone);
        const auto want =
            test::run_reference(OpKind::kMaxPool, PoolAttrs{}, {layer.like_x(layer.forward(Activation::kNone))});
        EXPECT_TRUE(exactly(pooled.p.read(), want.out[0].values));
        EXPECT_TRUE(exactly(pooled.argmax.read(), want.out[1].values));
    }
}

template <class T>
void check_pool_gradient(const Trained<T>& layer, Activation activation, bool x_is_relu, double value_error) {
    const Pooled<T> pooled(layer, activation);
    const DeviceArray<T> dp(test::uniform(pooled.p.size(), 7));
    const DeviceArray<T> dx(layer.size);
    BatchNormPoolGrad a{.dp = dp.get(),
                        .p = pooled.p.get(),
                        .argmax = pooled.argmax.get(),
                        .x = layer.x.get(),
                        .mean = layer.mean.get(),
                        .variance = layer.variance.get(),
                        .gamma = layer.gamma.get(),
                        .beta = layer.beta.get(),
                        .dx = dx.get(),
                        .dgamma = layer.dgamma.get(),
                        .dbeta = layer.dbeta.get(),
                        .dtype = DTypeOf<T>::value,
                        .n = as_int(layer.shape[0]),
                        .h = as_int(layer.shape[1]),
                        .w = as_int(layer.shape[2]),
                        .c = layer.c,
                        .activation = activation,
                        .x_is_relu = x_is_relu,
                        .workspace = layer.workspace.get()};
    batch_norm_pool_bwd(a, nullptr);
    std::vector<double> dz(layer.size, 0.0);
    if (pooled.shape.count() > 0) {
        const std::vector<double> through = masked(dp.inputs(), pooled.p.doubles(), activation);
        const Shape& s = layer.shape;
        const std::vector<std::uint8_t> winner = pooled.argmax.read();
        for (std::int64_t o = 0; o < pooled.shape.count(); ++o) {
            const std::int64_t k = o % s[3], q = o / s[3] % (s[2] / 2), p = o / s[3] / (s[2] / 2) % (s[1] / 2);
            const std::int64_t n = o / s[3] / (s[2] / 2) / (s[1] / 2);
            const int place = winner[static_cast<std::size_t>(o)];
            dz[static_cast<std::size_t>(((n * s[1] + 2 * p + place / 2) * s[2] + 2 * q + place % 2) * s[3] + k)] =
                through[static_cast<std::size_t>(o)];
        }
    }
    layer.expect_gradients(dx, dz, x_is_relu, value_error);
    dp.expect_unchanged();
    const DeviceArray<T> in_place(layer.x.inputs());
    a.x = a.dx = in_place.get();
    batch_norm_pool_bwd(a, nullptr);
    EXPECT_TRUE(same_bits(in_place.read(), dx.read())) << "in place";
}

/// xhat recovered from p, which storage has rounded.
template <class T>
double recovery_error(const Trained<T>& layer, double least_gamma) {
    const double xhat = 2 * largest(layer.x.inputs()) / std::sqrt(smallest(layer.variance.doubles()) + kEpsilon);
    const double p = 1.5 * xhat + 1;  // gamma < 1.5, |beta| <= 1
    return kStoredRound<T> * p / least_gamma;
}

TYPED_TEST(BatchNormGradKernel, PoolGradientMatchesReference) {
    for (const Shape& shape : kPoolShapes) {
        SCOPED_TRACE(shape.str());
        const Trained<TypeParam> layer(shape);
        check_pool_gradient(layer, Activation::kNone, false, recovery_error(layer, 0.5));
        check_pool_gradient(layer, Activation::kRelu, true, recovery_error(layer, 0.5));
    }
}

// gamma too small to divide by: x is read at the winners, and no error but float32's is left.
TYPED_TEST(BatchNormGradKernel, PoolGradientOfSmallGammaReadsTheInput) {
    for (const Shape& shape : {Shape{2, 5, 7, 3}, Shape{1, 8, 8, 16}, Shape{2, 6, 6, 33}}) {
        const Trained<TypeParam> layer(shape, 0x1p-24);
        check_pool_gradient(layer, Activation::kNone, false, 0);
    }
}

// gamma = beta / 16 is too small, gamma = 2^-20 is not: only where p is read does another p give another gradient.
TEST(BatchNormPoolGradKernel, LimitsOfWhatIsRecovered) {
    for (const bool p_serves : {false, true}) {
        const Trained<float> layer({1, 4, 4, 8}, p_serves ? 0x1p-20 : 0x1p-4);
        const DeviceArray<float> beta(std::vector<double>(8, p_serves ? 0.0 : 1.0));
        const DeviceArray<float> dp(test::uniform(32, 7)), dx(layer.size);
        const auto argmax = DeviceArray<std::uint8_t>::of(std::vector<std::uint8_t>(32, 0));
        const auto gradient = [&](double low) {
            const DeviceArray<float> p(test::uniform(32, 8, low, low + 1));
            batch_norm_pool_bwd({.dp = dp.get(),
                                 .p = p.get(),
                                 .argmax = argmax.get(),
                                 .x = layer.x.get(),
                                 .mean = layer.mean.get(),
                                 .variance = layer.variance.get(),
                                 .gamma = layer.gamma.get(),
                                 .beta = beta.get(),
                                 .dx = dx.get(),
                                 .dgamma = layer.dgamma.get(),
                                 .dbeta = layer.dbeta.get(),
                                 .n = 1,
                                 .h = 4,
                                 .w = 4,
                                 .c = 8,
                                 .workspace = layer.workspace.get()},
                                nullptr);
            return layer.dgamma.read();
        };
        EXPECT_EQ(gradient(1) != gradient(2), p_serves);
    }
}

TYPED_TEST(BatchNormGradKernel, SameBitsUnderEverySchedule) {
    for (const Shape& shape : {Shape{1, 7, 6, 16}, Shape{2, 5, 5, 3}}) {
        expect_same_bits_always([&] {
            const Trained<TypeParam> layer(shape);
            check_pool_gradient(layer, Activation::kRelu, true, recovery_error(layer, 0.5));
            return layer.dgamma.read();
        });
        expect_same_bits_always([&] {
            check_gradient<TypeParam>(shape, {Activation::kRelu, true, false});
            return std::vector<float>{};
        });
    }
}

}  // namespace
}  // namespace fer::FER_PORT

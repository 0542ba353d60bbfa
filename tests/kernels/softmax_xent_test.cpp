// Softmax and cross-entropy.
#include "kernels/softmax_xent.hpp"

#include "tests/kernels/batch_norm_bounds.hpp"

namespace fer::FER_PORT {
namespace {

const std::vector<Shape> kShapes = {{1, 7},   {2, 7},   {31, 7},   {32, 7},  {33, 7},   {63, 7},   {64, 7}, {65, 7},
                                    {1, 1},   {5, 1},   {3, 2},    {7, 8},   {13, 9},   {4, 31},   {3, 32}, {5, 33},
                                    {2, 100}, {17, 64}, {1, 1000}, {129, 3}, {2049, 7}, {2050, 12}};

template <class T>
struct Problem {
    Shape shape;
    int n, classes;
    DeviceArray<T> x;
    DeviceArray<std::int32_t> labels;
    DeviceArray<float> weights, dloss, scale;

    explicit Problem(const Shape& s, const std::vector<double>& logits = {})
        : shape(s),
          n(as_int(s[0])),
          classes(as_int(s[1])),
          x(logits.empty() ? test::uniform(static_cast<std::size_t>(s.count()), 1, -6, 6) : logits),
          labels(some_labels()),
          weights(test::uniform(static_cast<std::size_t>(classes), 2, 0.5, 2)),
          dloss(std::vector<double>{0.75}),
          scale(std::vector<double>{1024}) {}

    std::vector<double> some_labels() const {
        std::vector<double> labels_of;
        for (int i = 0; i < n; ++i) {
            labels_of.push_back(5 * i % classes);
        }
        return labels_of;
    }
    test::Tensor label_tensor() const { return {{n}, labels.inputs(), DType::kI32}; }
    test::Tensor weight_tensor() const { return {{classes}, weights.inputs(), DType::kF64}; }
    test::OpResult want(float smoothing) const {
        return test::run_reference(OpKind::kSoftmaxXent, XentAttrs{smoothing},
                                   {tensor_of(shape, x), label_tensor(), weight_tensor()});
    }
    std::vector<double> want_dx(const test::Tensor& p, float smoothing) const {
        const test::Tensor factor{Shape{}, {0.75 * 1024}, DType::kF64};
        return test::run_reference(OpKind::kSoftmaxXentGrad, XentAttrs{smoothing},
                                   {p, label_tensor(), weight_tensor(), factor})
            .out[0]
            .values;
    }
};

/// Every image is blended with the one as far from the other end; shares differ.
struct Partners {
    DeviceArray<std::int32_t> labels;
    DeviceArray<float> share;

    template <class T>
    explicit Partners(const Problem<T>& a)
        : labels([&] {
              std::vector<double> reversed = a.labels.inputs();
              std::ranges::reverse(reversed);
              return reversed;
          }()),
          share(test::uniform(static_cast<std::size_t>(a.n), 3, 0.5, 1)) {}
    template <class T>
    test::OpResult want(const Problem<T>& a, float smoothing) const {
        return test::run_reference(OpKind::kSoftmaxXent, XentAttrs{smoothing},
                                   {tensor_of(a.shape, a.x),
                                    a.label_tensor(),
                                    a.weight_tensor(),
                                    {{a.n}, labels.inputs(), DType::kI32},
                                    {{a.n}, share.inputs(), DType::kF32},
                                    {Shape{}, {0.75 * 1024}, DType::kF64}});
    }
};

template <class T>
struct Result {
    std::vector<double> loss, p, hits, dx;
};

template <class T>
Result<T> run(const Problem<T>& a, float smoothing, const Partners* partners = nullptr) {
    const DeviceArray<float> loss(1), p(a.x.size());
    const DeviceArray<std::uint8_t> hits(static_cast<std::size_t>(a.n));
    const DeviceArray<T> dx(a.x.size());
    const DeviceArray<char> workspace(softmax_xent_workspace(a.n));
    softmax_xent({.x = a.x.get(),
                  .labels = a.labels.get(),
                  .weights = a.weights.get(),
                  .partners = partners == nullptr ? nullptr : partners->labels.get(),
                  .share = partners == nullptr ? nullptr : partners->share.get(),
                  .dloss = a.dloss.get(),
                  .loss_scale = a.scale.get(),
                  .loss = loss.get(),
                  .p = p.get(),
                  .hits = hits.get(),
                  .dx = dx.get(),
                  .dtype = DTypeOf<T>::value,
                  .n = a.n,
                  .classes = a.classes,
                  .smoothing = smoothing,
                  .workspace = workspace.get()},
                 nullptr);
    a.x.expect_unchanged();
    a.labels.expect_unchanged();
    workspace.read();
    return {loss.doubles(), p.doubles(), hits.doubles(), dx.doubles()};
}

/// exp of an argument of up to `range` is off by its rounding, range * 2^-24, and 2 units of its own; the sum and the
/// quotient add theirs.
test::Tolerance probability(int classes, double range) {
    return test::float_steps(static_cast<int>(2 * range) + 8 + static_cast<int>(2 * std::sqrt(classes)));
}

template <class T>
class SoftmaxXentKernel : public ::testing::Test {};
TYPED_TEST_SUITE(SoftmaxXentKernel, StorageTypes);

TYPED_TEST(SoftmaxXentKernel, MatchesReference) {
    for (const Shape& shape : kShapes) {
        for (const float smoothing : {0.0f, 0.125f}) {
            SCOPED_TRACE(fmt::format("{} smoothing {}", shape.str(), smoothing));
            const Problem<TypeParam> a(shape);
            const test::OpResult want = a.want(smoothing);
            const Result<TypeParam> got = run(a, smoothing);
            const test::Tolerance p = probability(a.classes, 12);
            EXPECT_TRUE(test::close(got.p, want.out[1].values, p));
            EXPECT_TRUE(test::close(got.loss, want.out[0].values, test::float_steps(32, 24)));
            EXPECT_EQ(got.hits, want.out[2].values);
            const double factor = 2 * 768.0 / a.n;  // largest weight, dloss and scale
            EXPECT_TRUE(test::close(got.dx, a.want_dx(want.out[1], smoothing),
                                    stored_as<TypeParam>({factor * (p.absolute + p.relative), p.relative})));
        }
    }
}

TYPED_TEST(SoftmaxXentKernel, MixedLabelsMatchReference) {
    for (const Shape& shape : kShapes) {
        const float smoothing = shape[0] % 2 == 0 ? 0.125f : 0.0f;
        SCOPED_TRACE(fmt::format("{} smoothing {}", shape.str(), smoothing));
        const Problem<TypeParam> a(shape);
        const Partners partners(a);
        const test::OpResult want = partners.want(a, smoothing);
        const Result<TypeParam> got = run(a, smoothing, &partners);
        const test::Tolerance p = probability(a.classes, 12);
        EXPECT_TRUE(test::close(got.p, want.out[1].values, p));
        EXPECT_TRUE(test::close(got.loss, want.out[0].values, test::float_steps(32, 24)));
        EXPECT_EQ(got.hits, want.out[2].values);
        const double factor = 2 * 768.0 / a.n;  // largest weight, dloss and scale
        const auto bound = stored_as<TypeParam>({factor * (p.absolute + 2 * p.relative), p.relative});
        EXPECT_TRUE(test::close(got.dx, want.out[3].values, bound));

        const DeviceArray<float> probabilities(want.out[1].values);
        const DeviceArray<TypeParam> dx(a.x.size());
        softmax_xent_bwd({.p = probabilities.get(),
                          .labels = a.labels.get(),
                          .weights = a.weights.get(),
                          .partners = partners.labels.get(),
                          .share = partners.share.get(),
                          .dloss = a.dloss.get(),
                          .loss_scale = a.scale.get(),
                          .dx = dx.get(),
                          .dtype = DTypeOf<TypeParam>::value,
                          .n = a.n,
                          .classes = a.classes,
                          .smoothing = smoothing},
                         nullptr);
        EXPECT_TRUE(test::close(dx.doubles(), want.out[3].values, bound));
        partners.labels.expect_unchanged();
        partners.share.expect_unchanged();
    }
}

// Both classes of weight zero: nothing is learned from the image, and nothing is NaN.
TEST(SoftmaxXentContract, WeightsOfZeroMixToZero) {
    const DeviceArray<float> x(std::vector<double>{1, 2, 3}), weights(std::vector<double>{0, 1, 0}), dx(3), loss(1);
    const DeviceArray<std::int32_t> label(std::vector<double>{0}), partner(std::vector<double>{2});
    const DeviceArray<float> share(std::vector<double>{0.75});
    softmax_xent({.x = x.get(),
                  .labels = label.get(),
                  .weights = weights.get(),
                  .partners = partner.get(),
                  .share = share.get(),
                  .loss = loss.get(),
                  .dx = dx.get(),
                  .n = 1,
                  .classes = 3},
                 nullptr);
    EXPECT_EQ(loss.doubles(), std::vector<double>{0});
    EXPECT_EQ(dx.doubles(), (std::vector<double>{0, 0, 0}));
}

TYPED_TEST(SoftmaxXentKernel, SeparateGradientMatchesReference) {
    for (const Shape& shape : kShapes) {
        SCOPED_TRACE(shape.str());
        const Problem<TypeParam> a(shape);
        const DeviceArray<float> p(a.want(0).out[1].values);
        const DeviceArray<TypeParam> dx(a.x.size());
        softmax_xent_bwd({.p = p.get(),
                          .labels = a.labels.get(),
                          .weights = a.weights.get(),
                          .dloss = a.dloss.get(),
                          .loss_scale = a.scale.get(),
                          .dx = dx.get(),
                          .dtype = DTypeOf<TypeParam>::value,
                          .n = a.n,
                          .classes = a.classes,
                          .smoothing = 0.25f},
                         nullptr);
        EXPECT_TRUE(test::close(dx.doubles(), a.want_dx(tensor_of(shape, p), 0.25f),
                                stored_as<TypeParam>(test::float_steps(8, 2 * 768.0 / a.n))));
        p.expect_unchanged();
    }
}

TYPED_TEST(SoftmaxXentKernel, SoftmaxAndItsGradientMatchReference) {
    for (const Shape& shape : kShapes) {
        SCOPED_TRACE(shape.str());
        const Problem<TypeParam> a(shape);
        const DeviceArray<float> p(a.x.size());
        softmax_fwd({.x = a.x.get(), .p = p.get(), .dtype = DTypeOf<TypeParam>::value, .n = a.n, .classes = a.classes},
                    nullptr);
        const auto want = test::run_reference(OpKind::kSoftmax, NoAttrs{}, {tensor_of(shape, a.x)});
        EXPECT_TRUE(test::close(p.doubles(), want.out[0].values, probability(a.classes, 12)));

        const DeviceArray<float> y(want.out[0].values), dy(test::uniform(a.x.size(), 3));
        const DeviceArray<TypeParam> dx(a.x.size());
        softmax_bwd({.dp = dy.get(),
                     .p = y.get(),
                     .dx = dx.get(),
                     .dtype = DTypeOf<TypeParam>::value,
                     .n = a.n,
                     .classes = a.classes},
                    nullptr);
        const auto grad =
            test::run_reference(OpKind::kSoftmaxGrad, NoAttrs{}, {tensor_of(shape, dy), tensor_of(shape, y)});
        // The dot product sums to at most 1 in size, since p does.
        EXPECT_TRUE(test::close(dx.doubles(), grad.out[0].values, stored_as<TypeParam>(test::float_steps(16, 2))));
        dy.expect_unchanged();
    }
}

TYPED_TEST(SoftmaxXentKernel, NanAndInfinityFollowTheReference) {
    const std::vector<double> rows[] = {{1, NAN, 2}, {NAN, 1, 2},          {-INFINITY, -INFINITY, -INFINITY},
                                        {3, 3, 1},   {0, INFINITY, 0},     {1, -INFINITY, 4},
                                        {2, 5, 5},   {-INFINITY, NAN, NAN}};
    for (const std::vector<double>& row : rows) {
        SCOPED_TRACE(fmt::format("{} {} {}", row[0], row[1], row[2]));
        const Problem<TypeParam> a({1, 3}, row);
        const test::OpResult want = a.want(0);
        const Result<TypeParam> got = run(a, 0);
        EXPECT_EQ(got.hits, want.out[2].values);
        for (std::size_t c = 0; c < 3; ++c) {
            EXPECT_EQ(std::isnan(got.p[c]), std::isnan(want.out[1].values[c]));
            EXPECT_EQ(std::isnan(got.dx[c]), std::isnan(want.out[1].values[c]));
        }
        EXPECT_EQ(std::isnan(got.loss[0]), std::isnan(want.out[0].values[0]));
        EXPECT_EQ(std::isinf(got.loss[0]), std::isinf(want.out[0].values[0]));
    }
}

TYPED_TEST(SoftmaxXentKernel, GradientMayOverwriteTheLogits) {
    for (const Shape& shape : {Shape{33, 7}, Shape{5, 40}}) {
        const Problem<TypeParam> a(shape);
        const Result<TypeParam> want = run(a, 0.125f);
        const DeviceArray<TypeParam> x(a.x.inputs());
        const DeviceArray<float> loss(1);
        softmax_xent({.x = x.get(),
                      .labels = a.labels.get(),
                      .weights = a.weights.get(),
                      .dloss = a.dloss.get(),
                      .loss_scale = a.scale.get(),
                      .loss = loss.get(),
                      .dx = x.get(),
                      .dtype = DTypeOf<TypeParam>::value,
                      .n = a.n,
                      .classes = a.classes,
                      .smoothing = 0.125f},
                     nullptr);
        EXPECT_EQ(x.doubles(), want.dx);
        EXPECT_EQ(loss.doubles(), want.loss);
    }
}

TYPED_TEST(SoftmaxXentKernel, SameBitsUnderEverySchedule) {
    for (const Shape& shape : {Shape{70, 7}, Shape{9, 33}, Shape{2049, 7}}) {
        expect_same_bits_always([&] {
            const Result<TypeParam> r = run(Problem<TypeParam>(shape), 0.125f);
            std::vector<double> all = r.dx;
            all.push_back(r.loss[0]);
            return all;
        });
    }
}

TEST(SoftmaxXentContract, EmptyBatchWritesNothing) {
    const auto loss = DeviceArray<float>::of({3});
    softmax_xent({.x = nullptr, .labels = nullptr, .loss = loss.get(), .n = 0, .classes = 7}, nullptr);
    softmax_fwd({.x = nullptr, .p = nullptr, .n = 0, .classes = 7}, nullptr);
    softmax_bwd({.dp = nullptr, .p = nullptr, .dx = nullptr, .n = 0, .classes = 7}, nullptr);
    loss.expect_unchanged();
}

TEST(SoftmaxXentContract, LimitsOfClassesAndWorkspace) {
    EXPECT_EQ(softmax_xent_workspace(2048), 0);
    EXPECT_EQ(softmax_xent_workspace(2049), 2049 * sizeof(float));
    EXPECT_THROW(softmax_xent({.x = nullptr, .labels = nullptr, .loss = nullptr, .n = 1, .classes = 0}, nullptr),
                 UsageError);
}

}  // namespace
}  // namespace fer::FER_PORT

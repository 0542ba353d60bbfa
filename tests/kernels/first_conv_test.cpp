#include "kernels/first_conv.hpp"

#include <numeric>

#include "kernels/clock.hpp"
#include "kernels/relu.hpp"
#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

struct Case {
    std::int64_t n, h, w, c, k, kernel;
    int stride = 1;
    Padding padding = Padding::kSame;

    std::string str() const {
        return fmt::format("n{}h{}w{}c{}k{} {}x{} stride {} {}", n, h, w, c, k, kernel, kernel, stride,
                           padding == Padding::kSame ? "same" : "valid");
    }
    Shape x() const { return {n, h, w, c}; }
    Shape weights() const { return {kernel, kernel, c, k}; }
    Shape y() const {
        return {n, window_of(h, kernel, stride, padding).out, window_of(w, kernel, stride, padding).out, k};
    }
    FirstConvShape shape() const {
        const Shape out = y();
        return {.n = as_int(n),
                .h = as_int(h),
                .w = as_int(w),
                .c = as_int(c),
                .kh = as_int(kernel),
                .kw = as_int(kernel),
                .k = as_int(k),
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
        {0, 8, 8, 1, 32, 3},       // nothing
        {1, 48, 48, 1, 32, 3},     // first layer of six networks
        {2, 12, 24, 1, 64, 3},     // new_model
        {1, 14, 14, 3, 64, 3},     // VGG16
        {1, 15, 18, 3, 64, 7, 2},  // ResNet50
        {1, 17, 20, 3, 32, 3, 2},  // MobileNetV2
        {1, 8, 16, 1, 8, 3},       // exactly a tile
        {1, 9, 17, 1, 8, 3},       // one more each way
        {1, 7, 15, 1, 8, 3},       // one less
        {1, 1, 1, 1, 1, 1},        // smallest
        {1, 1, 1, 3, 5, 3},        // kernel larger than the image
        {1, 2, 3, 1, 1, 5},        //
        {3, 7, 13, 2, 17, 3},      // primes
        {2, 10, 18, 1, 31, 3, 1, kValid},
        {1, 9, 9, 4, 33, 3},            //
        {1, 11, 10, 1, 40, 5},          //
        {1, 13, 11, 3, 7, 5, 2},        //
        {1, 9, 11, 1, 3, 2, 3},         // kernel smaller than the stride
        {1, 20, 20, 1, 16, 4, 4},       //
        {1, 7, 7, 1, 8, 7, 1, kValid},  // one output
        {17, 3, 3, 1, 32, 3},           // many small images
        {1, 10, 10, 3, 96, 3, 2, kValid},
        {520, 1, 1, 1, 8, 3},  // several tiles per block of the weight gradient
    };
}

template <class T>
struct Inputs {
    Inputs(const Case& s, bool integers)
        : x(numbers(s.x(), integers, 1)),
          w(numbers(s.weights(), integers, 2)),
          dy(numbers(s.y(), integers, 3)),
          bias(numbers({s.k}, integers, 4)) {}
    void expect_unchanged() const {
        x.expect_unchanged();
        w.expect_unchanged();
        dy.expect_unchanged();
        bias.expect_unchanged();
    }
    static std::vector<double> numbers(const Shape& shape, bool integers, std::uint64_t seed) {
        return integers ? test::small_integers(test::count_of(shape), seed)
                        : test::uniform(test::count_of(shape), seed);
    }
    DeviceArray<T> x, w, dy;
    DeviceArray<float> bias;
};

template <class T>
std::vector<T> forward(const Case& s, const Inputs<T>& in, Activation activation, bool bias = true) {
    DeviceArray<T> y(test::count_of(s.y()));
    first_conv_fwd({.shape = s.shape(),
                    .x = in.x.get(),
                    .w = in.w.get(),
                    .bias = bias ? in.bias.get() : nullptr,
                    .y = y.get(),
                    .activation = activation,
                    .dtype = DTypeOf<T>::value},
                   nullptr);
    in.expect_unchanged();
    return y.read();
}

template <class T>
struct Gradients {
    std::vector<float> dw, db;
};

/// `op` holds what is not the same everywhere: x, mask or y.
template <class T>
Gradients<T> backward(const Case& s, FirstConvWgrad op, const DeviceArray<T>& dy) {
    DeviceArray<float> dw(test::count_of(s.weights()));
    DeviceArray<float> db(static_cast<std::size_t>(s.k));
    op.shape = s.shape();
    op.dy = dy.get();
    op.dw = dw.get();
    op.dbias = db.get();
    op.dtype = DTypeOf<T>::value;
    const DeviceArray<float> workspace(static_cast<std::size_t>(first_conv_wgrad_workspace(op)) / sizeof(float));
    op.workspace = workspace.get();
    first_conv_wgrad(op, nullptr);
    workspace.read();  // sentinels
    dy.expect_unchanged();
    return {dw.read(), db.read()};
}

template <class T>
FirstConvWgrad from_x(const Inputs<T>& in) {
    FirstConvWgrad op{};
    op.x = in.x.get();
    return op;
}

template <class T>
class FirstConvKernel : public ::testing::Test {};
TYPED_TEST_SUITE(FirstConvKernel, StorageTypes);

TYPED_TEST(FirstConvKernel, ForwardMatchesReference) {
    const auto activations = {std::pair(Activation::kNone, fer::Activation::kNone),
                              std::pair(Activation::kRelu, fer::Activation::kRelu),
                              std::pair(Activation::kRelu6, fer::Activation::kRelu6)};
    for (const Case& s : cases()) {
        SCOPED_TRACE(s.str());
        for (const bool integers : {true, false}) {
            const Inputs<TypeParam> in(s, integers);
            for (const auto& [activation, of_graph] : activations) {
                if (!integers && activation != Activation::kRelu) {
                    continue;
                }
                const auto want = test::run_reference(
                    OpKind::kConv2d, ConvAttrs{.stride = s.stride, .padding = s.padding, .activation = of_graph},
                    {tensor_of(s.x(), in.x), tensor_of(s.weights(), in.w), tensor_of(Shape{s.k}, in.bias)});
                const auto got = forward(s, in, activation);
                EXPECT_TRUE(integers ? exactly(got, want.out[0].values)
                                     : test::close(DeviceArray<TypeParam>::of(got).inputs(), want.out[0].values,
                                                   stored_sum<TypeParam>(s.kernel * s.kernel * s.c + 1)));
            }
        }
    }
}

TYPED_TEST(FirstConvKernel, ForwardWithoutBias) {
    const Case s{1, 9, 9, 1, 8, 3};
    const Inputs<TypeParam> in(s, true);
    const auto want =
        test::run_reference(OpKind::kConv2d, ConvAttrs{}, {tensor_of(s.x(), in.x), tensor_of(s.weights(), in.w)});
    EXPECT_TRUE(exactly(forward(s, in, Activation::kNone, false), want.out[0].values));
}

TYPED_TEST(FirstConvKernel, WeightGradientMatchesReference) {
    for (const Case& s : cases()) {
        SCOPED_TRACE(s.str());
        for (const bool integers : {true, false}) {
            const Inputs<TypeParam> in(s, integers);
            const ConvAttrs attrs{.stride = s.stride, .padding = s.padding, .kernel = s.weights(), .bias = true};
            const auto want =
                test::run_reference(OpKind::kConv2dWgrad, attrs, {tensor_of(s.x(), in.x), tensor_of(s.y(), in.dy)});
            const auto got = backward<TypeParam>(s, from_x(in), in.dy);
            const std::int64_t terms = s.y()[0] * s.y()[1] * s.y()[2];
            EXPECT_TRUE(integers ? exactly(got.dw, want.out[0].values)
                                 : test::close(got.dw, want.out[0].values, test::float_sum(terms)));
            EXPECT_TRUE(integers ? exactly(got.db, want.out[1].values)
                                 : test::close(got.db, want.out[1].values, test::float_sum(terms)));
        }
    }
}

TYPED_TEST(FirstConvKernel, WeightGradientThroughTheActivation) {
    // The last has as many outputs as its mask has bits: none may be read behind them.
    for (const Case& s :
         {Case{2, 9, 17, 1, 32, 3}, Case{1, 7, 9, 3, 13, 3}, Case{1, 8, 9, 1, 40, 5, 2}, Case{1, 4, 8, 1, 4, 3}}) {
        SCOPED_TRACE(s.str());
        const Inputs<TypeParam> in(s, true);
        for (const Activation activation : {Activation::kRelu, Activation::kRelu6}) {
            const auto y = DeviceArray<TypeParam>::of(forward(s, in, activation));
            const auto count = static_cast<std::int64_t>(y.size());
            DeviceArray<std::uint32_t> mask(static_cast<std::size_t>(mask_words(count)));
            DeviceArray<TypeParam> dx(y.size());
            const DType dtype = DTypeOf<TypeParam>::value;
            DeviceArray<TypeParam> again(y.size());
            relu_fwd({.x = y.get(),
                      .y = again.get(),
                      .mask = mask.get(),
                      .count = count,
                      .activation = activation,
                      .dtype = dtype},
                     nullptr);
            relu_bwd({.dy = in.dy.get(),
                      .y = y.get(),
                      .mask = nullptr,
                      .dx = dx.get(),
                      .count = count,
                      .activation = activation,
                      .dtype = dtype},
                     nullptr);
            const auto passed = DeviceArray<TypeParam>::of(dx.read());
            const auto want = backward<TypeParam>(s, from_x(in), passed);
            FirstConvWgrad by_y = from_x(in);
            by_y.y = y.get();
            by_y.activation = activation;
            FirstConvWgrad by_mask = from_x(in);
            by_mask.mask = mask.get();
            for (const FirstConvWgrad& op : {by_y, by_mask}) {
                const auto got = backward<TypeParam>(s, op, in.dy);
                EXPECT_TRUE(same_bits(got.dw, want.dw));
                EXPECT_TRUE(same_bits(got.db, want.db));
            }
        }
    }
}

/// Twelve images, a shuffled order, and a batch from its middle.
struct Faces {
    explicit Faces(const Case& s) : images(test::uniform(static_cast<std::size_t>(12 * s.h * s.w), 7, 0, 256)) {
        std::vector<std::int32_t> numbers(12), classes(12);
        std::iota(numbers.begin(), numbers.end(), 0);
        std::iota(classes.begin(), classes.end(), 100);
        shuffle(numbers, RandomStream(8, 0, 0));
        order.emplace(DeviceArray<std::int32_t>::of(numbers));
        labels.emplace(DeviceArray<std::int32_t>::of(classes));
        clock.emplace(DeviceArray<std::int64_t>::of({3, 4, 5, 0}));
    }
    ImageBatch batch(const Case& s, void* y, std::int32_t* batch_labels, const Augmentation& augmentation,
                     DType to) const {
        return {.images = images.get(),
                .labels = labels->get(),
                .order = order->get(),
                .clock = clock->get(),
                .y = y,
                .batch_labels = batch_labels,
                .batch = as_int(s.n),
                .h = as_int(s.h),
                .w = as_int(s.w),
                .augmentation = augmentation,
                .scale = 1.0f / 127.5f,
                .offset = -1,
                .to = to};
    }

    DeviceArray<std::uint8_t> images;
    std::optional<DeviceArray<std::int32_t>> order, labels;
    std::optional<DeviceArray<std::int64_t>> clock;
};

TYPED_TEST(FirstConvKernel, ImagesMadeOnTheWayGiveTheBitsOfImagesMadeBefore) {
    const Augmentation all{.rotation = 40,
                           .height_shift = 0.2f,
                           .width_shift = 0.2f,
                           .shear = 10,
                           .zoom = 0.2f,
                           .horizontal_flip = true,
                           .vertical_flip = true,
                           .brightness_low = 0.5f,
                           .stream = 7};
    const Augmentation flips{.horizontal_flip = true, .stream = 3};
    const DType dtype = DTypeOf<TypeParam>::value;
    for (const auto& [s, augmentation] :
         {std::pair(Case{7, 12, 9, 1, 32, 3}, all), std::pair(Case{2, 9, 20, 1, 11, 5}, flips),
          std::pair(Case{3, 8, 16, 1, 40, 2}, Augmentation{}), std::pair(Case{2, 17, 33, 1, 8, 7}, all),
          std::pair(Case{1, 48, 48, 1, 32, 3}, all)}) {
        SCOPED_TRACE(s.str());
        const Faces faces(s);
        const Inputs<TypeParam> in(s, false);
        const DeviceArray<TypeParam> x(test::count_of(s.x())), made(x.size());
        const DeviceArray<std::int32_t> labels(static_cast<std::size_t>(s.n)), made_labels(labels.size());
        const DeviceArray<TypeParam> before(test::count_of(s.y())), on_the_way(before.size());
        image_batch(faces.batch(s, x.get(), labels.get(), augmentation, dtype), nullptr);
        FirstConv op{.shape = s.shape(),
                     .x = x.get(),
                     .w = in.w.get(),
                     .bias = in.bias.get(),
                     .y = before.get(),
                     .activation = Activation::kRelu,
                     .dtype = dtype};
        first_conv_fwd(op, nullptr);
        op.x = nullptr;
        op.batch = faces.batch(s, made.get(), made_labels.get(), augmentation, dtype);
        op.y = on_the_way.get();
        first_conv_fwd(op, nullptr);
        EXPECT_TRUE(same_bits(on_the_way.read(), before.read()));
        EXPECT_TRUE(same_bits(made.read(), x.read()));
        EXPECT_EQ(made_labels.read(), labels.read());
        faces.images.expect_unchanged();
    }
}

TYPED_TEST(FirstConvKernel, NanReachesItsWindowsAndPassesRelu) {
    const Case s{1, 9, 18, 1, 9, 3};
    std::vector<double> values = test::small_integers(test::count_of(s.x()), 7);
    values[4 * 18 + 15] = NAN;
    const DeviceArray<TypeParam> x(values);
    const Inputs<TypeParam> in(s, true);
    const auto want = test::run_reference(OpKind::kConv2d, ConvAttrs{.activation = fer::Activation::kRelu},
                                          {tensor_of(s.x(), x), tensor_of(s.weights(), in.w)});
    DeviceArray<TypeParam> y(test::count_of(s.y()));
    first_conv_fwd({.shape = s.shape(),
                    .x = x.get(),
                    .w = in.w.get(),
                    .y = y.get(),
                    .activation = Activation::kRelu,
                    .dtype = DTypeOf<TypeParam>::value},
                   nullptr);
    EXPECT_TRUE(exactly(y.read(), want.out[0].values));
}

TYPED_TEST(FirstConvKernel, SameBitsUnderEverySchedule) {
    for (const Case& s : {Case{1, 9, 17, 1, 40, 3}, Case{1, 9, 8, 3, 7, 5, 2}}) {
        const Inputs<TypeParam> in(s, false);
        expect_same_bits_always([&] { return forward(s, in, Activation::kRelu); });
        expect_same_bits_always([&] { return backward<TypeParam>(s, from_x(in), in.dy).dw; });
    }
}

TEST(FirstConvErrors, NameTheValues) {
    FirstConv op{.shape = Case{1, 4, 4, 5, 8, 3}.shape(), .w = nullptr, .y = nullptr};
    EXPECT_THROW(first_conv_fwd(op, nullptr), UsageError);
    op.shape = Case{1, 9, 9, 1, 8, 8}.shape();
    EXPECT_THROW(first_conv_fwd(op, nullptr), UsageError);
    const Case strided{1, 8, 8, 1, 8, 3, 2};
    const Faces faces(strided);
    op.batch = faces.batch(strided, nullptr, nullptr, {}, DType::kF32);
    op.shape = strided.shape();
    EXPECT_THROW(first_conv_fwd(op, nullptr), UsageError);
    op.shape = Case{2, 8, 8, 1, 8, 3}.shape();  // of a batch of 1
    EXPECT_THROW(first_conv_fwd(op, nullptr), UsageError);
}

}  // namespace
}  // namespace fer::FER_PORT

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

/// `op` holds what is not the same everywhere: x or gather, mask or y.
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

/// Twelve images, a shuffled order and a batch from its middle; and the batch as it would be gathered and scaled.
template <class T>
struct Faces {
    explicit Faces(const Case& s) : images(test::uniform(static_cast<std::size_t>(12 * s.h * s.w), 7, 0, 256)) {
        std::vector<std::int32_t> numbers(12);
        std::iota(numbers.begin(), numbers.end(), 0);
        shuffle(numbers, RandomStream(8, 0, 0));
        order.emplace(DeviceArray<std::int32_t>::of(numbers));
        clock.emplace(DeviceArray<std::int64_t>::of({3, 4, 5, 0}));
        const std::vector<double> bytes = images.inputs();
        std::vector<double> batch;
        for (std::int64_t i = 0; i < s.n * s.h * s.w; ++i) {
            const auto image = numbers[static_cast<std::size_t>(5 + i / (s.h * s.w))];
            batch.push_back(static_cast<float>(bytes[static_cast<std::size_t>(image * s.h * s.w + i % (s.h * s.w))]) *
                            gathered().scale);
        }
        x.emplace(batch);
    }
    GatheredImages gathered() const { return {images.get(), order->get(), clock->get()}; }

    DeviceArray<std::uint8_t> images;
    std::optional<DeviceArray<std::int32_t>> order;
    std::optional<DeviceArray<std::int64_t>> clock;
    std::optional<DeviceArray<T>> x;
};

TYPED_TEST(FirstConvKernel, GatheringGivesTheSameBitsAsGatheredImages) {
    for (const Case& s : {Case{7, 12, 9, 1, 32, 3}, Case{2, 9, 20, 1, 11, 5, 2}, Case{1, 48, 48, 1, 32, 3}}) {
        SCOPED_TRACE(s.str());
        const Faces<TypeParam> faces(s);
        const Inputs<TypeParam> in(s, false);
        DeviceArray<TypeParam> gathered(test::count_of(s.y()));
        DeviceArray<TypeParam> plain(test::count_of(s.y()));
        FirstConv op{.shape = s.shape(),
                     .gather = faces.gathered(),
                     .w = in.w.get(),
                     .bias = in.bias.get(),
                     .y = gathered.get(),
                     .activation = Activation::kRelu,
                     .dtype = DTypeOf<TypeParam>::value};
        first_conv_fwd(op, nullptr);
        op.gather = {};
        op.x = faces.x->get();
        op.y = plain.get();
        first_conv_fwd(op, nullptr);
        EXPECT_TRUE(same_bits(gathered.read(), plain.read()));

        FirstConvWgrad by_gather{};
        by_gather.gather = faces.gathered();
        FirstConvWgrad by_x{};
        by_x.x = faces.x->get();
        const auto got = backward<TypeParam>(s, by_gather, in.dy);
        const auto want = backward<TypeParam>(s, by_x, in.dy);
        EXPECT_TRUE(same_bits(got.dw, want.dw));
        EXPECT_TRUE(same_bits(got.db, want.db));
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
}

}  // namespace
}  // namespace fer::FER_PORT

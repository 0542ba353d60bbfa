#include "kernels/separable.hpp"

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
    Shape depth() const { return {kernel, kernel, c, 1}; }
    Shape middle() const {
        return {n, window_of(h, kernel, stride, padding).out, window_of(w, kernel, stride, padding).out, c};
    }
    Shape point() const { return {1, 1, c, k}; }
    Shape y() const { return {n, middle()[1], middle()[2], k}; }
    DepthwiseShape shape() const {
        const Shape out = middle();
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
        {0, 8, 8, 8, 8, 3},                 // nothing
        {1, 12, 12, 1, 32, 3},              // separable_cnn, first
        {1, 11, 12, 32, 64, 3},             // second
        {1, 8, 8, 64, 128, 3},              // third
        {1, 10, 7, 128, 72, 3, 1, kValid},  // fourth, narrowed
        {1, 5, 5, 256, 96, 3},              // fifth, narrowed
        {1, 8, 8, 16, 64, 3},               // exactly a tile
        {1, 5, 13, 16, 64, 3},              // one pixel more
        {1, 7, 9, 16, 65, 3},               // one pixel less, one output more
        {2, 8, 7, 40, 24, 3, 2},            // even by odd, stride 2
        {1, 9, 9, 96, 40, 3, 2, kValid},    // MobileNetV2, without its batch norm between
        {1, 1, 1, 1, 1, 1},                 // smallest
        {1, 1, 1, 3, 5, 3},                 // kernel larger than the image
        {1, 2, 3, 1, 1, 5},                 //
        {3, 7, 5, 5, 17, 3},                // primes
        {2, 6, 6, 7, 31, 5, 1, kValid},     //
        {1, 6, 5, 33, 63, 3},               // one off a vector
        {1, 6, 5, 31, 33, 3},               //
        {1, 9, 11, 12, 10, 2, 3},           // kernel smaller than the stride
        {1, 9, 9, 24, 8, 5, 2},             //
        {67, 1, 1, 8, 8, 3},                //
        {1, 3, 3, 48, 136, 3},              //
    };
}

template <class T>
struct Inputs {
    Inputs(const Case& s, bool integers)
        : x(numbers(s.x(), integers, 1)),
          depth(numbers(s.depth(), integers, 2)),
          point(numbers(s.point(), integers, 3)),
          bias(numbers({s.k}, integers, 4)) {}
    void expect_unchanged() const {
        x.expect_unchanged();
        depth.expect_unchanged();
        point.expect_unchanged();
        bias.expect_unchanged();
    }
    static std::vector<double> numbers(const Shape& shape, bool integers, std::uint64_t seed) {
        return integers ? test::small_integers(test::count_of(shape), seed)
                        : test::uniform(test::count_of(shape), seed);
    }
    DeviceArray<T> x, depth, point;
    DeviceArray<float> bias;
};

template <class T>
struct Result {
    std::vector<T> y, middle;
};

template <class T>
Result<T> run(const Case& s, const Inputs<T>& in, Activation activation, bool tf32 = false, bool with_middle = true) {
    DeviceArray<T> y(test::count_of(s.y()));
    DeviceArray<T> middle(test::count_of(s.middle()));
    separable_fwd({.shape = s.shape(),
                   .k = as_int(s.k),
                   .x = in.x.get(),
                   .depth = in.depth.get(),
                   .point = in.point.get(),
                   .bias = in.bias.get(),
                   .middle = with_middle ? middle.get() : nullptr,
                   .y = y.get(),
                   .activation = activation,
                   .dtype = DTypeOf<T>::value,
                   .tf32 = tf32},
                  nullptr);
    in.expect_unchanged();
    return {y.read(), middle.read()};
}

template <class T>
std::vector<double> wanted_middle(const Case& s, const Inputs<T>& in) {
    return test::run_reference(OpKind::kDepthwiseConv, ConvAttrs{.stride = s.stride, .padding = s.padding},
                               {tensor_of(s.x(), in.x), tensor_of(s.depth(), in.depth)})
        .out[0]
        .values;
}

/// The pointwise part in float64 from the middle that the kernel stored.
template <class T>
std::vector<double> wanted_y(const Case& s, const Inputs<T>& in, const std::vector<T>& middle,
                             fer::Activation activation) {
    const auto array = DeviceArray<T>::of(middle);
    return test::run_reference(
               OpKind::kConv2d, ConvAttrs{.padding = Padding::kValid, .activation = activation},
               {tensor_of(s.middle(), array), tensor_of(s.point(), in.point), tensor_of(Shape{s.k}, in.bias)})
        .out[0]
        .values;
}

/// Of the pointwise sum: c products of a middle, itself kernel^2 products, and a weight; and the bias.
test::Tolerance pointwise_bound(const Case& s) {
    return test::float_sum(s.c + 1, static_cast<double>(s.kernel * s.kernel));
}
/// The same with both operands of every product rounded to 10 bits of mantissa, half a unit being 2^-11.
test::Tolerance tf32_bound(const Case& s) {
    const test::Tolerance t = pointwise_bound(s);
    return {t.absolute + 2 * 0x1p-11 * static_cast<double>(s.c * s.kernel * s.kernel), t.relative};
}

template <class T>
class SeparableKernel : public ::testing::Test {};
TYPED_TEST_SUITE(SeparableKernel, StorageTypes);

TYPED_TEST(SeparableKernel, MatchesReference) {
    for (const Case& s : cases()) {
        SCOPED_TRACE(s.str());
        for (const bool integers : {true, false}) {
            const Inputs<TypeParam> in(s, integers);
            const auto got = run(s, in, Activation::kRelu);
            const auto middle = wanted_middle(s, in);
            const auto y = wanted_y(s, in, got.middle, fer::Activation::kRelu);
            const auto as_stored = [](const std::vector<TypeParam>& v) {
                return DeviceArray<TypeParam>::of(v).inputs();
            };
            EXPECT_TRUE(integers
                            ? exactly(got.middle, middle)
                            : test::close(as_stored(got.middle), middle, stored_sum<TypeParam>(s.kernel * s.kernel)));
            EXPECT_TRUE(integers ? exactly(got.y, y)
                                 : test::close(as_stored(got.y), y, stored_as<TypeParam>(pointwise_bound(s))));
        }
    }
}

TYPED_TEST(SeparableKernel, MiddleIsOptional) {
    const Case s{1, 9, 9, 24, 40, 3};
    const Inputs<TypeParam> in(s, false);
    EXPECT_TRUE(same_bits(run(s, in, Activation::kNone).y, run(s, in, Activation::kNone, false, false).y));
}

TEST(SeparableTf32, IntegersExactThenWithinItsRounding) {
    for (const Case& s : cases()) {
        SCOPED_TRACE(s.str());
        for (const bool integers : {true, false}) {
            const Inputs<float> in(s, integers);
            const auto got = run(s, in, Activation::kRelu6, true);
            const auto y = wanted_y(s, in, got.middle, fer::Activation::kRelu6);
            EXPECT_TRUE(integers ? exactly(got.y, y) : test::close(got.y, y, tf32_bound(s)));
        }
    }
}

TYPED_TEST(SeparableKernel, NanPassesRelu) {
    const Case s{1, 9, 9, 8, 24, 3};
    std::vector<double> values = test::small_integers(test::count_of(s.x()), 7);
    values[static_cast<std::size_t>((4 * s.w + 4) * s.c + 2)] = NAN;
    const Inputs<TypeParam> in(s, true);
    const DeviceArray<TypeParam> x(values);
    DeviceArray<TypeParam> y(test::count_of(s.y()));
    separable_fwd({.shape = s.shape(),
                   .k = as_int(s.k),
                   .x = x.get(),
                   .depth = in.depth.get(),
                   .point = in.point.get(),
                   .y = y.get(),
                   .activation = Activation::kRelu,
                   .dtype = DTypeOf<TypeParam>::value},
                  nullptr);
    const std::vector<double> got = y.doubles();
    for (std::int64_t i = 0; i < s.y().count(); ++i) {
        const std::int64_t row = i / s.k / s.w;
        const std::int64_t column = i / s.k % s.w;
        const bool meets = row >= 3 && row <= 5 && column >= 3 && column <= 5;
        EXPECT_EQ(std::isnan(got[static_cast<std::size_t>(i)]), meets) << i;
    }
}

TYPED_TEST(SeparableKernel, SameBitsUnderEverySchedule) {
    for (const Case& s : {Case{1, 9, 8, 40, 72, 3}, Case{1, 5, 3, 3, 5, 3}}) {
        const Inputs<TypeParam> in(s, false);
        expect_same_bits_always([&] { return run(s, in, Activation::kRelu).y; });
        expect_same_bits_always([&] { return run(s, in, Activation::kRelu).middle; });
    }
}

TYPED_TEST(SeparableKernel, NoOutputsWriteNothing) {
    const Case s{1, 5, 4, 8, 0, 3};
    const Result<TypeParam> got = run(s, Inputs<TypeParam>(s, true), Activation::kNone);
    for (const TypeParam v : got.middle) {
        EXPECT_TRUE(std::isnan(as_double(v)));
    }
}

TEST(SeparableErrors, TooManyChannelsAreRefused) {
    Separable op{.shape = Case{1, 4, 4, 4096, 8, 3}.shape(),
                 .k = 8,
                 .x = nullptr,
                 .depth = nullptr,
                 .point = nullptr,
                 .y = nullptr};
    EXPECT_NE(separable_refusal(op), nullptr);
    EXPECT_THROW(separable_fwd(op, nullptr), UsageError);
    // 227 KiB hold (64 (c + 4) + 64 * 72) floats to the last byte.
    op.shape.c = 832;
    EXPECT_EQ(separable_refusal(op), nullptr);
    op.shape.c = 833;
    EXPECT_NE(separable_refusal(op), nullptr);
    op.dtype = DType::kF16;  // c in whole sixteens
    op.shape.c = 1728;
    EXPECT_EQ(separable_refusal(op), nullptr);
    op.shape.c = 1729;
    EXPECT_NE(separable_refusal(op), nullptr);
}

}  // namespace
}  // namespace fer::FER_PORT

// ReLU, ReLU6, their masks and gradients; and the residual add, which shares the masks.
#include "kernels/relu.hpp"

#include "kernels/add.hpp"
#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

const std::vector<std::int64_t> kCounts = {0,  1,   2,   7,   8,   9,   15,  31,  32,  33,   63,   64,  65,
                                           97, 127, 255, 256, 257, 263, 511, 512, 513, 2048, 2049, 5003};

OpKind op_of(Activation a) { return a == Activation::kRelu6 ? OpKind::kRelu6 : OpKind::kRelu; }
OpKind grad_of(Activation a) { return a == Activation::kRelu6 ? OpKind::kRelu6Grad : OpKind::kReluGrad; }

/// Values around both kinks, some on them, and what arithmetic may bring.
std::vector<double> values_around(std::int64_t count, std::uint64_t seed) {
    std::vector<double> values = test::uniform(static_cast<std::size_t>(count), seed, -8, 8);
    const double special[] = {0.0, -0.0, 6.0, NAN, INFINITY, -INFINITY, 0x1p-14, -0x1p-14};
    for (std::size_t i = 0; i < values.size(); i += 3) {
        values[i] = special[i / 3 % 8];
    }
    return values;
}

template <class T>
struct Activated {
    std::vector<T> y;
    std::vector<std::uint32_t> mask;
};

template <class T>
Activated<T> relu(Activation activation, const DeviceArray<T>& x, bool with_mask) {
    const auto count = static_cast<std::int64_t>(x.size());
    DeviceArray<T> y(x.size());
    DeviceArray<std::uint32_t> mask(static_cast<std::size_t>(mask_words(count)));
    relu_fwd({.x = x.get(),
              .y = y.get(),
              .mask = with_mask ? mask.get() : nullptr,
              .count = count,
              .activation = activation,
              .dtype = DTypeOf<T>::value},
             nullptr);
    x.expect_unchanged();
    return {y.read(), with_mask ? mask.read() : std::vector<std::uint32_t>{}};
}

/// Bits by the definition, from the stored y.
template <class T>
std::vector<std::uint32_t> mask_of(const std::vector<T>& y, Activation activation) {
    std::vector<std::uint32_t> mask(static_cast<std::size_t>(mask_words(static_cast<std::int64_t>(y.size()))), 0);
    for (std::size_t i = 0; i < y.size(); ++i) {
        const double v = as_double(y[i]);
        if (v > 0 && (activation == Activation::kRelu || v < 6)) {
            mask[i / 32] |= 1u << i % 32;
        }
    }
    return mask;
}

template <class T>
class ReluKernel : public ::testing::Test {};
TYPED_TEST_SUITE(ReluKernel, StorageTypes);

TYPED_TEST(ReluKernel, MatchesReference) {
    for (const Activation activation : {Activation::kRelu, Activation::kRelu6}) {
        for (const std::int64_t count : kCounts) {
            SCOPED_TRACE(count);
            const DeviceArray<TypeParam> x(values_around(count, 1));
            const auto want = test::run_reference(op_of(activation), NoAttrs{}, {tensor_of(Shape{count}, x)});
            const Activated<TypeParam> plain = relu(activation, x, false);
            const Activated<TypeParam> masked = relu(activation, x, true);
            EXPECT_TRUE(exactly(plain.y, want.out[0].values));
            EXPECT_TRUE(same_bits(plain.y, masked.y));
            EXPECT_EQ(masked.mask, mask_of(masked.y, activation));
        }
    }
}

TYPED_TEST(ReluKernel, GradMatchesReference) {
    for (const Activation activation : {Activation::kRelu, Activation::kRelu6}) {
        for (const std::int64_t count : kCounts) {
            SCOPED_TRACE(count);
            const DeviceArray<TypeParam> x(values_around(count, 2));
            const Activated<TypeParam> out = relu(activation, x, true);
            const auto y = DeviceArray<TypeParam>::of(out.y);
            const auto mask = DeviceArray<std::uint32_t>::of(out.mask);
            const DeviceArray<TypeParam> dy(values_around(count, 3));
            const auto want = test::run_reference(grad_of(activation), NoAttrs{},
                                                  {tensor_of(Shape{count}, dy), tensor_of(Shape{count}, y)});
            for (const bool by_mask : {false, true}) {
                DeviceArray<TypeParam> dx(x.size());
                relu_bwd({.dy = dy.get(),
                          .y = by_mask ? nullptr : y.get(),
                          .mask = by_mask ? mask.get() : nullptr,
                          .dx = dx.get(),
                          .count = count,
                          .activation = activation,
                          .dtype = DTypeOf<TypeParam>::value},
                         nullptr);
                EXPECT_TRUE(exactly(dx.read(), want.out[0].values)) << "by mask: " << by_mask;
            }
            dy.expect_unchanged();
            y.expect_unchanged();
            mask.expect_unchanged();
        }
    }
}

TYPED_TEST(ReluKernel, InPlaceAndUnaligned) {
    for (const std::int64_t count : {std::int64_t{1}, std::int64_t{40}, std::int64_t{515}}) {
        SCOPED_TRACE(count);
        const DeviceArray<TypeParam> x(values_around(count + 1, 4));
        const Activated<TypeParam> want = relu(Activation::kRelu6, x, true);
        auto y = DeviceArray<TypeParam>::of(x.read());
        // From the second element on: no pointer is aligned to 16 bytes.
        DeviceArray<std::uint32_t> mask(static_cast<std::size_t>(mask_words(count)));
        relu_fwd({.x = y.get() + 1,
                  .y = y.get() + 1,
                  .mask = mask.get(),
                  .count = count,
                  .activation = Activation::kRelu6,
                  .dtype = DTypeOf<TypeParam>::value},
                 nullptr);
        std::vector<TypeParam> got = y.read();
        EXPECT_EQ(mask.read(), mask_of(std::vector<TypeParam>(got.begin() + 1, got.end()), Activation::kRelu6));
        got[0] = want.y[0];
        EXPECT_TRUE(same_bits(got, want.y));

        const std::vector<TypeParam> once = y.read();
        relu_bwd({.dy = y.get() + 1,
                  .y = y.get() + 1,
                  .mask = nullptr,
                  .dx = y.get() + 1,
                  .count = count,
                  .activation = Activation::kRelu6,
                  .dtype = DTypeOf<TypeParam>::value},
                 nullptr);
        const std::vector<TypeParam> passed = y.read();
        for (std::size_t i = 1; i < once.size(); ++i) {
            const double v = as_double(once[i]);
            EXPECT_EQ(as_double(passed[i]), v > 0 && v < 6 ? v : 0) << i;
        }
    }
}

TYPED_TEST(ReluKernel, SameBitsUnderEverySchedule) {
    const DeviceArray<TypeParam> x(values_around(519, 5));
    expect_same_bits_always([&] { return relu(Activation::kRelu, x, true).y; });
    expect_same_bits_always([&] { return relu(Activation::kRelu, x, true).mask; });
}

template <class T>
class AddKernel : public ::testing::Test {};
TYPED_TEST_SUITE(AddKernel, StorageTypes);

/// activation(a + b) in double, which every sum of two stored values fits.
std::vector<double> added(const std::vector<double>& a, const std::vector<double>& b, Activation activation) {
    std::vector<double> sum;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double v = a[i] + b[i];
        const double floored = v < 0 && activation != Activation::kNone ? 0 : v;
        sum.push_back(activation == Activation::kRelu6 && floored > 6 ? 6 : floored);
    }
    return sum;
}

TYPED_TEST(AddKernel, IntegersExactThenWithinRounding) {
    for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kRelu6}) {
        for (const std::int64_t count : kCounts) {
            SCOPED_TRACE(count);
            for (const bool integers : {true, false}) {
                const auto n = static_cast<std::size_t>(count);
                const DeviceArray<TypeParam> a(integers ? test::small_integers(n, 6) : test::uniform(n, 7, -8, 8));
                const DeviceArray<TypeParam> b(integers ? test::small_integers(n, 8) : test::uniform(n, 9, -8, 8));
                DeviceArray<TypeParam> y(n);
                DeviceArray<std::uint32_t> mask(static_cast<std::size_t>(mask_words(count)));
                const bool with_mask = activation != Activation::kNone;
                add_fwd({.a = a.get(),
                         .b = b.get(),
                         .y = y.get(),
                         .mask = with_mask ? mask.get() : nullptr,
                         .count = count,
                         .activation = activation,
                         .dtype = DTypeOf<TypeParam>::value},
                        nullptr);
                const std::vector<double> want = added(a.inputs(), b.inputs(), activation);
                if (integers) {
                    EXPECT_TRUE(exactly(y.read(), want));
                } else {
                    EXPECT_TRUE(test::close(y.doubles(), want, stored_as<TypeParam>(test::float_steps(1))));
                }
                if (with_mask) {
                    EXPECT_EQ(mask.read(), mask_of(y.read(), activation));
                }
                a.expect_unchanged();
                b.expect_unchanged();
            }
        }
    }
}

TYPED_TEST(AddKernel, InPlaceNanAndUnaligned) {
    const DeviceArray<TypeParam> a(values_around(300, 10));
    const DeviceArray<TypeParam> b(values_around(300, 11));
    const std::vector<double> want = added(a.inputs(), b.inputs(), Activation::kRelu);
    const auto run = [&](TypeParam* left, TypeParam* right, TypeParam* y, std::int64_t count) {
        add_fwd({.a = left,
                 .b = right,
                 .y = y,
                 .mask = nullptr,
                 .count = count,
                 .activation = Activation::kRelu,
                 .dtype = DTypeOf<TypeParam>::value},
                nullptr);
    };
    DeviceArray<TypeParam> y(300);
    run(a.get(), b.get(), y.get(), 300);
    const std::vector<TypeParam> apart = y.read();
    for (std::size_t i = 0; i < apart.size(); ++i) {
        EXPECT_EQ(std::isnan(as_double(apart[i])), std::isnan(want[i])) << i;
    }
    for (const std::size_t skip : {0, 1}) {
        const auto first = DeviceArray<TypeParam>::of(a.read());
        const auto second = DeviceArray<TypeParam>::of(b.read());
        const auto count = static_cast<std::int64_t>(300 - skip);
        run(first.get() + skip, b.get() + skip, first.get() + skip, count);
        run(a.get() + skip, second.get() + skip, second.get() + skip, count);
        for (const auto& in_place : {first.read(), second.read()}) {
            EXPECT_TRUE(same_bits(std::vector<TypeParam>(in_place.begin() + skip, in_place.end()),
                                  std::vector<TypeParam>(apart.begin() + skip, apart.end())));
        }
    }
}

TEST(ReluErrors, NoMaskWithoutActivation) {
    std::uint32_t mask = 0;
    EXPECT_THROW(
        relu_fwd({.x = nullptr, .y = nullptr, .mask = &mask, .count = 1, .activation = Activation::kNone}, nullptr),
        UsageError);
    EXPECT_THROW(add_fwd({.a = nullptr, .b = nullptr, .y = nullptr, .mask = &mask, .count = 1}, nullptr), UsageError);
}

}  // namespace
}  // namespace fer::FER_PORT

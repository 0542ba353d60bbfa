#include "kernels/pad.hpp"

#include "tests/kernels/reference_case.hpp"
#include "tests/support/expect_error.hpp"

namespace fer::FER_PORT {
namespace {

struct PadShape {
    Shape x;
    PadAttrs pad;
    std::string str() const { return fmt::format("{} {} {} {} {}", x.str(), pad.top, pad.bottom, pad.left, pad.right); }
    Shape padded() const { return {x[0], x[1] + pad.top + pad.bottom, x[2] + pad.left + pad.right, x[3]}; }
};

std::vector<PadShape> shapes() {
    return {
        {{0, 3, 3, 8}, {1, 1, 1, 1}},    {{1, 1, 1, 1}, {0, 0, 0, 0}},
        {{1, 1, 1, 1}, {1, 1, 1, 1}},    {{1, 1, 1, 1}, {1, 0, 0, 0}},
        {{1, 1, 1, 1}, {0, 1, 0, 0}},    {{1, 1, 1, 1}, {0, 0, 1, 0}},
        {{1, 1, 1, 1}, {0, 0, 0, 1}},    {{1, 0, 5, 4}, {1, 1, 1, 1}},
        {{2, 9, 7, 3}, {3, 3, 3, 3}},  // the large stems
        {{1, 14, 14, 64}, {1, 1, 1, 1}}, {{2, 8, 8, 8}, {0, 1, 0, 1}},
        {{1, 31, 1, 1}, {0, 0, 0, 0}},   {{1, 32, 1, 1}, {0, 0, 0, 0}},
        {{1, 33, 1, 1}, {1, 0, 0, 0}},   {{1, 15, 17, 1}, {0, 0, 0, 0}},
        {{1, 16, 16, 1}, {0, 0, 0, 0}},  {{1, 257, 1, 1}, {0, 0, 2, 0}},
        {{3, 5, 7, 5}, {2, 3, 5, 7}},    {{2, 3, 3, 7}, {0, 2, 1, 0}},
        {{1, 4, 5, 32}, {4, 0, 0, 5}},   {{2, 6, 6, 33}, {1, 2, 3, 4}},
        {{5, 2, 2, 12}, {1, 1, 0, 0}},   {{1, 3, 3, 255}, {1, 1, 1, 1}},
        {{1, 2, 3, 256}, {0, 0, 1, 1}},  {{1, 1, 1, 46779}, {0, 0, 0, 0}},  // divides by more than 15 bits
    };
}

template <class T>
std::vector<T> zero_pad(const PadShape& s, const DeviceArray<T>& x, DType dtype) {
    DeviceArray<T> y(test::count_of(s.padded()));
    zero_pad_fwd({.x = x.get(),
                  .y = y.get(),
                  .n = as_int(s.x[0]),
                  .h = as_int(s.x[1]),
                  .w = as_int(s.x[2]),
                  .c = as_int(s.x[3]),
                  .top = s.pad.top,
                  .bottom = s.pad.bottom,
                  .left = s.pad.left,
                  .right = s.pad.right,
                  .dtype = dtype},
                 nullptr);
    x.expect_unchanged();
    return y.read();
}

template <class T>
std::vector<T> crop(const PadShape& s, const DeviceArray<T>& padded, DType dtype) {
    const Shape from = s.padded();
    DeviceArray<T> y(test::count_of(s.x));
    crop_fwd({.x = padded.get(),
              .y = y.get(),
              .n = as_int(from[0]),
              .h = as_int(from[1]),
              .w = as_int(from[2]),
              .c = as_int(from[3]),
              .top = s.pad.top,
              .bottom = s.pad.bottom,
              .left = s.pad.left,
              .right = s.pad.right,
              .dtype = dtype},
             nullptr);
    padded.expect_unchanged();
    return y.read();
}

template <class T>
class Pad : public ::testing::Test {};
TYPED_TEST_SUITE(Pad, StorageTypes);

TYPED_TEST(Pad, MatchesReference) {
    const DType dtype = DTypeOf<TypeParam>::value;
    for (const PadShape& s : shapes()) {
        SCOPED_TRACE(s.str());
        const DeviceArray<TypeParam> x(test::uniform(test::count_of(s.x), 1));
        const auto want = test::run_reference(OpKind::kZeroPad, s.pad, {tensor_of(s.x, x)});
        EXPECT_TRUE(exactly(zero_pad(s, x, dtype), want.out[0].values));

        const DeviceArray<TypeParam> y(test::uniform(test::count_of(s.padded()), 2));
        const auto cropped = test::run_reference(OpKind::kCrop, s.pad, {tensor_of(s.padded(), y)});
        EXPECT_TRUE(exactly(crop(s, y, dtype), cropped.out[0].values));
    }
}

TYPED_TEST(Pad, CropUndoesPadBitForBit) {
    for (const PadShape& s : shapes()) {
        SCOPED_TRACE(s.str());
        std::vector<double> values = test::uniform(test::count_of(s.x), 3);
        for (std::size_t i = 0; i < values.size(); i += 3) {
            values[i] = i % 2 == 0 ? NAN : -0.0;
        }
        const DeviceArray<TypeParam> x(values);
        const auto y = DeviceArray<TypeParam>::of(zero_pad(s, x, DTypeOf<TypeParam>::value));
        EXPECT_TRUE(same_bits(crop(s, y, DTypeOf<TypeParam>::value), x.read()));
    }
}

TEST(PadBytes, AreCopiedToo) {
    const PadShape s{{2, 5, 3, 16}, {1, 0, 2, 1}};
    const DeviceArray<std::uint8_t> x(test::uniform(test::count_of(s.x), 4, 0, 256));
    const auto want = test::run_reference(OpKind::kZeroPad, s.pad, {tensor_of(s.x, x)});
    EXPECT_TRUE(exactly(zero_pad(s, x, DType::kU8), want.out[0].values));
}

TYPED_TEST(Pad, SameBitsUnderEverySchedule) {
    const PadShape s{{1, 7, 5, 8}, {1, 2, 0, 1}};
    const DeviceArray<TypeParam> x(test::uniform(test::count_of(s.x), 5));
    expect_same_bits_always([&] { return zero_pad(s, x, DTypeOf<TypeParam>::value); });
    const DeviceArray<TypeParam> y(test::uniform(test::count_of(s.padded()), 6));
    expect_same_bits_always([&] { return crop(s, y, DTypeOf<TypeParam>::value); });
}

TEST(PadErrors, NameTheValues) {
    EXPECT_THROW(
        zero_pad_fwd(
            {.x = nullptr, .y = nullptr, .n = 1, .h = 2, .w = 2, .c = 1, .top = -1, .bottom = 0, .left = 0, .right = 0},
            nullptr),
        UsageError);
    Crop a{.x = nullptr, .y = nullptr, .n = 1, .h = 2, .w = 3, .c = 1, .top = 2, .bottom = 1, .left = 0, .right = 0};
    const auto refused = [&] { return test::error_of<UsageError>([&] { crop_fwd(a, nullptr); }); };
    EXPECT_THAT(refused(), ::testing::HasSubstr("crop of 2 1 0 0 from 2x3"));
    a.top = a.bottom = 0;
    a.left = a.right = 2;
    EXPECT_THAT(refused(), ::testing::HasSubstr("crop of 0 0 2 2 from 2x3"));
    a.right = 1;  // leaves nothing, which is no error
    crop_fwd(a, nullptr);
}

}  // namespace
}  // namespace fer::FER_PORT

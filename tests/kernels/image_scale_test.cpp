// Scaling, standardization and resizing of images.
#include "kernels/image.hpp"
#include "tests/kernels/reference_case.hpp"
#include "tests/support/expect_error.hpp"

namespace fer::FER_PORT {
namespace {

const std::vector<Shape> kShapes = {
    {1, 48, 48, 1}, {2, 24, 24, 3}, {1, 1, 1, 1},   {3, 1, 1, 3},   {1, 31, 1, 1},  {2, 4, 4, 1},   {1, 33, 1, 1},
    {1, 5, 7, 2},   {7, 3, 3, 1},   {1, 16, 16, 1}, {1, 1, 255, 1}, {1, 1, 257, 1}, {1, 17, 15, 1}, {2, 9, 11, 3},
    {1, 32, 8, 1},  {5, 2, 2, 2},   {1, 13, 1, 3},  {4, 6, 5, 1},   {1, 19, 23, 1}, {1, 8, 3, 3},   {0, 4, 4, 1}};

std::vector<double> bytes(std::int64_t count) {
    std::vector<double> values = test::uniform(static_cast<std::size_t>(count), 1, 0, 256);
    for (double& v : values) {
        v = std::floor(v);
    }
    return values;
}

/// body(In{}) for every type of image.
template <class Body>
void for_inputs(Body body) {
    body(std::uint8_t{});
    body(float{});
    body(__half{});
    body(__nv_bfloat16{});
}

template <class T>
class ImageScaleKernel : public ::testing::Test {};
TYPED_TEST_SUITE(ImageScaleKernel, StorageTypes);

TYPED_TEST(ImageScaleKernel, RescaleMatchesReference) {
    for (const Shape& s : kShapes) {
        SCOPED_TRACE(s.str());
        for_inputs([&]<class In>(In) {
            const DeviceArray<In> x(bytes(s.count()));
            const DeviceArray<TypeParam> y(x.size());
            const auto want = test::run_reference(
                OpKind::kRescale, RescaleAttrs{.scale = 1.0f / 127.5f, .offset = {-1, 0.5f, 2}}, {tensor_of(s, x)});
            rescale({.x = x.get(),
                     .y = y.get(),
                     .rows = s[0] * s[1] * s[2],
                     .c = as_int(s[3]),
                     .scale = 1.0f / 127.5f,
                     .offset = {-1, 0.5f, 2},
                     .from = DTypeOf<In>::value,
                     .to = DTypeOf<TypeParam>::value},
                    nullptr);
            EXPECT_TRUE(test::close(y.doubles(), want.out[0].values, stored_as<TypeParam>(test::float_steps(2, 4))));
            x.expect_unchanged();
        });
    }
}

TYPED_TEST(ImageScaleKernel, StandardizeMatchesReference) {
    for (const Shape& s : kShapes) {
        SCOPED_TRACE(s.str());
        for_inputs([&]<class In>(In) {
            const DeviceArray<In> x(bytes(s.count()));
            const DeviceArray<TypeParam> y(x.size());
            const auto want = test::run_reference(OpKind::kStandardize, NoAttrs{}, {tensor_of(s, x)});
            standardize({.x = x.get(),
                         .y = y.get(),
                         .n = as_int(s[0]),
                         .pixels = as_int(s[1] * s[2] * s[3]),
                         .from = DTypeOf<In>::value,
                         .to = DTypeOf<TypeParam>::value},
                        nullptr);
            EXPECT_TRUE(test::close(y.doubles(), want.out[0].values, stored_as<TypeParam>(test::float_steps(2))));
            x.expect_unchanged();
        });
    }
}

TYPED_TEST(ImageScaleKernel, FlatImagesBecomeZero) {
    const DeviceArray<std::uint8_t> x(std::vector<double>(48 * 48, 200));
    const DeviceArray<TypeParam> y(x.size());
    standardize({.x = x.get(), .y = y.get(), .n = 1, .pixels = 48 * 48, .to = DTypeOf<TypeParam>::value}, nullptr);
    EXPECT_EQ(y.doubles(), std::vector<double>(x.size(), 0.0));
}

// A deviation of 1e-6, as large as what is added to it.
TYPED_TEST(ImageScaleKernel, AlmostFlatImagesAreHalved) {
    std::vector<double> values(64);
    for (std::size_t i = 0; i < values.size(); i += 2) {
        values[i] = 2e-6f;
    }
    const DeviceArray<float> x(values);
    const DeviceArray<TypeParam> y(x.size());
    const auto want = test::run_reference(OpKind::kStandardize, NoAttrs{}, {tensor_of(Shape{1, 8, 8, 1}, x)});
    standardize(
        {.x = x.get(), .y = y.get(), .n = 1, .pixels = 64, .from = DType::kF32, .to = DTypeOf<TypeParam>::value},
        nullptr);
    EXPECT_TRUE(test::close(y.doubles(), want.out[0].values, stored_as<TypeParam>(test::float_steps(2))));
}

TYPED_TEST(ImageScaleKernel, ResizeMatchesReference) {
    const std::pair<int, int> sizes[] = {{224, 224}, {1, 1}, {7, 5}, {48, 48}, {13, 96}};
    for (const Shape& s : kShapes) {
        for (const auto& [height, width] : sizes) {
            if (s.count() == 0 || s[0] * height * width * s[3] > 60000) {
                continue;
            }
            for (const bool bilinear : {true, false}) {
                SCOPED_TRACE(fmt::format("{} to {}x{} bilinear {}", s.str(), height, width, bilinear));
                const DeviceArray<std::uint8_t> x(bytes(s.count()));
                const auto want =
                    test::run_reference(OpKind::kResize, ResizeAttrs{height, width, bilinear}, {tensor_of(s, x)});
                const DeviceArray<TypeParam> y(want.out[0].values.size());
                resize({.x = x.get(),
                        .y = y.get(),
                        .n = as_int(s[0]),
                        .h = as_int(s[1]),
                        .w = as_int(s[2]),
                        .c = as_int(s[3]),
                        .out_h = height,
                        .out_w = width,
                        .bilinear = bilinear,
                        .to = DTypeOf<TypeParam>::value},
                       nullptr);
                const test::Tolerance bound = stored_as<TypeParam>(test::float_steps(8, bilinear ? 256 : 0));
                EXPECT_TRUE(bilinear ? test::close(y.doubles(), want.out[0].values, bound)
                                     : exactly(y.read(), want.out[0].values));
                x.expect_unchanged();
            }
        }
    }
}

TYPED_TEST(ImageScaleKernel, ResizeRepeatsAndRescalesOnTheFly) {
    const Shape s{1, 12, 12, 1};
    const DeviceArray<TypeParam> x(bytes(s.count()));
    const auto large = test::run_reference(OpKind::kResize, ResizeAttrs{30, 31, true}, {tensor_of(s, x)});
    const auto rgb = test::run_reference(OpKind::kGrayToRgb, NoAttrs{}, {large.out[0]});
    const auto want =
        test::run_reference(OpKind::kRescale, RescaleAttrs{.scale = 0.5f, .offset = {-100, 3, 0.25f}}, {rgb.out[0]});
    const DeviceArray<TypeParam> y(want.out[0].values.size());
    resize({.x = x.get(),
            .y = y.get(),
            .n = 1,
            .h = 12,
            .w = 12,
            .c = 1,
            .out_h = 30,
            .out_w = 31,
            .gray_to_rgb = true,
            .scale = 0.5f,
            .offset = {-100, 3, 0.25f},
            .from = DTypeOf<TypeParam>::value,
            .to = DTypeOf<TypeParam>::value},
           nullptr);
    EXPECT_TRUE(test::close(y.doubles(), want.out[0].values, stored_as<TypeParam>(test::float_steps(10, 256))));
    EXPECT_THROW(
        resize(
            {.x = x.get(), .y = y.get(), .n = 1, .h = 6, .w = 12, .c = 2, .out_h = 3, .out_w = 3, .gray_to_rgb = true},
            nullptr),
        UsageError);
}

// Seven places over two: the outer two of either end lie beyond the centres of the source.
TEST(ResizeKernel, BeyondTheOutermostCentresValuesAreRepeated) {
    const DeviceArray<std::uint8_t> x(bytes(512));
    const DeviceArray<float> y(256 * 7);
    resize({.x = x.get(), .y = y.get(), .n = 256, .h = 1, .w = 2, .c = 1, .out_h = 1, .out_w = 7}, nullptr);
    const std::vector<double> got = y.doubles(), from = x.inputs();
    for (std::size_t image = 0; image < 256; ++image) {
        EXPECT_EQ(got[7 * image], from[2 * image]);
        EXPECT_EQ(got[7 * image + 1], from[2 * image]);
        EXPECT_EQ(got[7 * image + 5], from[2 * image + 1]);
        EXPECT_EQ(got[7 * image + 6], from[2 * image + 1]);
    }
}

TEST(ResizeKernel, OffsetsAreForThreeChannels) {
    for (const int c : {3, 4}) {
        const DeviceArray<std::uint8_t> x(bytes(4 * c));
        const DeviceArray<float> y(x.size());
        Resize a{.x = x.get(), .y = y.get(), .n = 1, .h = 2, .w = 2, .c = c, .out_h = 2, .out_w = 2};
        resize(a, nullptr);
        EXPECT_EQ(y.doubles(), x.inputs());
        a.offset[0] = 1, a.offset[1] = 2, a.offset[2] = 3;
        if (c == 3) {
            resize(a, nullptr);
            const std::vector<double> got = y.doubles();
            for (std::size_t i = 0; i < got.size(); ++i) {
                EXPECT_EQ(got[i], x.inputs()[i] + static_cast<double>(i % 3 + 1));
            }
        } else {
            for (int channel = 0; channel < 3; ++channel) {
                std::fill(a.offset, a.offset + 3, 0.0f);
                a.offset[channel] = 1;
                EXPECT_THAT(test::error_of<UsageError>([&] { resize(a, nullptr); }),
                            ::testing::HasSubstr("offsets for 3 channels, not 4"));
            }
        }
    }
}

TEST(ResizeKernel, NothingCannotBecomeSomething) {
    for (const int h : {0, 1}) {
        EXPECT_THAT(test::error_of<UsageError>([&] {
                        resize({.x = nullptr, .y = nullptr, .n = 1, .h = h, .w = 1 - h, .c = 1, .out_h = 1, .out_w = 1},
                               nullptr);
                    }),
                    ::testing::HasSubstr("cannot resize an image of"));
    }
}

TYPED_TEST(ImageScaleKernel, SameBitsUnderEverySchedule) {
    const DeviceArray<std::uint8_t> x(bytes(2 * 500));
    expect_same_bits_always([&] {
        const DeviceArray<TypeParam> y(x.size());
        standardize({.x = x.get(), .y = y.get(), .n = 2, .pixels = 500, .to = DTypeOf<TypeParam>::value}, nullptr);
        return y.read();
    });
}

TEST(GrayToRgbKernel, RepeatsEveryValue) {
    for (const std::int64_t count :
         {0, 1, 2, 7, 31, 32, 33, 63, 64, 65, 85, 86, 127, 255, 256, 257, 511, 999, 1000, 2049}) {
        for_inputs([&]<class In>(In) {
            const DeviceArray<In> x(bytes(count));
            const DeviceArray<In> y(3 * x.size());
            gray_to_rgb({.x = x.get(), .y = y.get(), .count = count, .dtype = DTypeOf<In>::value}, nullptr);
            std::vector<double> want;
            for (const double v : x.inputs()) {
                want.insert(want.end(), 3, v);
            }
            EXPECT_TRUE(exactly(y.read(), want));
            x.expect_unchanged();
        });
    }
}

}  // namespace
}  // namespace fer::FER_PORT

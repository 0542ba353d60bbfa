// Tensors beyond 2^31 bytes, some beyond 2^32: an index that is multiplied into bytes in 32 bits reads elsewhere. Few
// of their elements are read, and only those exist: what a kernel makes of the corners of huge images must be what it
// makes of the same corners side by side.
#include <gtest/gtest.h>

#include "kernels/conv2d_direct.hpp"
#include "kernels/depthwise.hpp"
#include "kernels/first_conv.hpp"
#include "kernels/image.hpp"
#include "kernels/pad.hpp"
#include "kernels/pool.hpp"
#include "kernels/separable.hpp"
#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

/// Device memory of which only what is written takes space on the emulated device.
template <class T>
class Sparse {
public:
    explicit Sparse(std::int64_t count) { FER_CUDA(cudaMalloc(&memory_, static_cast<std::size_t>(count) * sizeof(T))); }
    ~Sparse() { cudaFree(memory_); }
    Sparse(const Sparse&) = delete;
    Sparse& operator=(const Sparse&) = delete;

    T* get() const { return static_cast<T*>(memory_); }
    void write(std::int64_t at, const T* values, std::int64_t count) const {
        FER_CUDA(cudaMemcpy(get() + at, values, static_cast<std::size_t>(count) * sizeof(T), cudaMemcpyHostToDevice));
    }

private:
    void* memory_ = nullptr;
};

/// Three images of 6.4 GB in all, of which the four corners are written, each `corner` pixels high and wide; and the
/// same corners as images of their own size.
struct Corners {
    static constexpr int kImages = 3;
    int c, corner, side;  // of the huge images
    Sparse<float> far;
    DeviceArray<float> near;

    Corners(int channels, int corner_pixels)
        : c(channels),
          corner(corner_pixels),
          side(static_cast<int>(std::sqrt(1.6e9 / kImages / channels))),
          far(std::int64_t{kImages} * side * side * c),
          near(test::small_integers(static_cast<std::size_t>(kImages * 4 * corner * corner * c), 1)) {
        const std::vector<float> values = near.read();
        const int row_floats = corner * c;
        for (int piece = 0; piece < kImages * 2 * corner * 2; ++piece) {  // half a row of a small image
            const int row = piece / 2;                                    // of all small images
            const std::int64_t image = row / (2 * corner);
            const std::int64_t y = far_place(row % (2 * corner)), x = piece % 2 == 0 ? 0 : side - corner;
            far.write(((image * side + y) * side + x) * c, values.data() + piece * row_floats, row_floats);
        }
    }
    int far_place(int near_place) const { return near_place < corner ? near_place : near_place - 2 * corner + side; }

    /// `s` with the fields of an op whose windows are the four corners, one step apart.
    template <class Shape>
    Shape of(bool is_far, Shape s = {}) const {
        s.n = kImages;
        s.h = s.w = is_far ? side : 2 * corner;
        s.c = c;
        s.stride = s.h - corner;
        return s;
    }
    const float* x(bool is_far) const { return is_far ? far.get() : near.get(); }
};

/// run(is_far) gives the same bits for the huge images and for the small ones.
template <class Run>
void expect_no_difference(Run run) {
    const auto near = run(false);
    EXPECT_FALSE(near.empty());
    EXPECT_TRUE(same_bits(run(true), near));
}

TEST(FarTensors, Pools) {
    for (const int c : {3, 4}) {
        const Corners corners(c, 2);
        const DeviceArray<float> y(static_cast<std::size_t>(Corners::kImages * 4 * c));
        const DeviceArray<std::uint8_t> argmax(y.size());
        expect_no_difference([&](bool far) {
            auto a = corners.of<MaxPool>(far);
            a.x = corners.x(far);
            a.y = y.get();
            a.argmax = argmax.get();
            a.out_h = a.out_w = 2;
            max_pool_fwd(a, nullptr);
            return y.read();
        });
        expect_no_difference([&](bool far) {
            auto a = corners.of<AvgPool>(far);
            a.x = corners.x(far);
            a.y = y.get();
            a.out_h = a.out_w = 2;
            avg_pool_fwd(a, nullptr);
            return y.read();
        });
    }
}

Conv2dShape conv_of(const Corners& corners, int k, bool far) {
    auto s = corners.of<Conv2dShape>(far);
    s.kh = s.kw = corners.corner;
    s.k = k;
    s.p = s.q = 2;
    return s;
}
DepthwiseShape depthwise_of(const Corners& corners, bool far) {
    auto s = corners.of<DepthwiseShape>(far);
    s.kh = s.kw = corners.corner;
    s.p = s.q = 2;
    return s;
}

TEST(FarTensors, Convolutions) {
    for (const int c : {3, 4}) {  // element by element, and in vectors
        const Corners corners(c, 3);
        const int k = 2 * c;
        const DeviceArray<float> w(test::small_integers(static_cast<std::size_t>(9 * c * k), 2));
        const DeviceArray<float> dy(test::small_integers(static_cast<std::size_t>(Corners::kImages * 4 * k), 3));
        const DeviceArray<float> y(dy.size()), dw(w.size());
        for (const bool tf32 : {false, true}) {
            expect_no_difference([&](bool far) {
                conv2d_fwd({.shape = conv_of(corners, k, far),
                            .x = corners.x(far),
                            .w = w.get(),
                            .y = y.get(),
                            .tf32 = tf32,
                            .choice = {.splits = 1}},
                           nullptr);
                return y.read();
            });
            expect_no_difference([&](bool far) {
                conv2d_wgrad({.shape = conv_of(corners, k, far),
                              .x = corners.x(far),
                              .dy = dy.get(),
                              .dw = dw.get(),
                              .tf32 = tf32,
                              .choice = {.splits = 1}},
                             nullptr);
                return dw.read();
            });
        }
        expect_no_difference([&](bool far) {
            conv2d_direct_fwd({.shape = conv_of(corners, k, far), .x = corners.x(far), .w = w.get(), .y = y.get()},
                              nullptr);
            return y.read();
        });
        expect_no_difference([&](bool far) {
            conv2d_direct_wgrad(
                {.shape = conv_of(corners, k, far), .x = corners.x(far), .dy = dy.get(), .dw = dw.get()}, nullptr);
            return dw.read();
        });
    }
}

TEST(FarTensors, DepthwiseAndSeparable) {
    for (const int c : {3, 4}) {
        const Corners corners(c, 3);
        const DeviceArray<float> w(test::small_integers(static_cast<std::size_t>(9 * c), 2));
        const DeviceArray<float> dy(test::small_integers(static_cast<std::size_t>(Corners::kImages * 4 * c), 3));
        const DeviceArray<float> point(test::small_integers(static_cast<std::size_t>(8 * c), 4));
        expect_no_difference([&](bool far) {
            const DeviceArray<float> y(dy.size());
            depthwise_fwd({.shape = depthwise_of(corners, far), .x = corners.x(far), .w = w.get(), .y = y.get()},
                          nullptr);
            return y.read();
        });
        expect_no_difference([&](bool far) {
            const DeviceArray<float> dw(w.size());
            DepthwiseWgrad a{.shape = depthwise_of(corners, far), .x = corners.x(far), .dy = dy.get(), .dw = dw.get()};
            const DeviceArray<char> workspace(static_cast<std::size_t>(depthwise_wgrad_workspace(a)));
            a.workspace = workspace.get();
            depthwise_wgrad(a, nullptr);
            return dw.read();
        });
        expect_no_difference([&](bool far) {
            const DeviceArray<float> y(static_cast<std::size_t>(Corners::kImages * 4 * 8));
            separable_fwd({.shape = depthwise_of(corners, far),
                           .k = 8,
                           .x = corners.x(far),
                           .depth = w.get(),
                           .point = point.get(),
                           .y = y.get()},
                          nullptr);
            return y.read();
        });
    }
}

// 3x3 with stride 1 reads a tile of 10x18 pixels: the first corner of every image, with one output.
TEST(FarTensors, DepthwiseTile) {
    const Corners corners(4, 18);
    const DeviceArray<float> w(test::small_integers(36, 2)), y(12);
    expect_no_difference([&](bool far) {
        auto s = depthwise_of(corners, far);
        s.kh = s.kw = 3;
        s.p = s.q = s.stride = 1;
        depthwise_fwd({.shape = s, .x = corners.x(far), .w = w.get(), .y = y.get()}, nullptr);
        return y.read();
    });
}

TEST(FarTensors, FirstConvolution) {
    for (const int k : {3, 8}) {
        const Corners corners(1, 18);
        const DeviceArray<float> w(test::small_integers(static_cast<std::size_t>(9 * k), 2));
        const DeviceArray<float> dy(test::small_integers(static_cast<std::size_t>(3 * k), 3));
        const auto shape_of = [&](bool far) {
            auto s = corners.of<FirstConvShape>(far);
            s.kh = s.kw = 3;
            s.k = k;
            s.p = s.q = s.stride = 1;
            return s;
        };
        expect_no_difference([&](bool far) {
            const DeviceArray<float> y(dy.size());
            first_conv_fwd({.shape = shape_of(far), .x = corners.x(far), .w = w.get(), .y = y.get()}, nullptr);
            return y.read();
        });
        expect_no_difference([&](bool far) {
            const DeviceArray<float> dw(w.size());
            FirstConvWgrad a{.shape = shape_of(far), .x = corners.x(far), .dy = dy.get(), .dw = dw.get()};
            const DeviceArray<char> workspace(static_cast<std::size_t>(first_conv_wgrad_workspace(a)));
            a.workspace = workspace.get();
            first_conv_wgrad(a, nullptr);
            return dw.read();
        });
    }
}

// What is cut away between two corners: the whole image but its last pixels.
TEST(FarTensors, CropOfTheLastPixels) {
    for (const int c : {3, 4}) {
        const Corners corners(c, 2);
        const DeviceArray<float> y(static_cast<std::size_t>(Corners::kImages * 4 * c));
        expect_no_difference([&](bool far) {
            const int side = far ? corners.side : 4;
            crop_fwd({.x = corners.x(far),
                      .y = y.get(),
                      .n = Corners::kImages,
                      .h = side,
                      .w = side,
                      .c = c,
                      .top = side - 2,
                      .bottom = 0,
                      .left = side - 2,
                      .right = 0},
                     nullptr);
            return y.read();
        });
    }
}

// Downwards by so much that the nearest pixels are in the corners: 1 of side/3 from the edge.
TEST(FarTensors, NearestPixelsOfAResize) {
    const Corners corners(3, 1);
    const DeviceArray<float> y(Corners::kImages * 3);
    const auto last = std::int64_t{Corners::kImages} * corners.side * corners.side * 3;
    const std::int64_t middle = corners.side / 2;
    std::vector<double> want;
    for (std::int64_t n = 0; n < Corners::kImages; ++n) {
        const float pixel[] = {static_cast<float>(n), 7, -3};
        const std::int64_t at = ((n * corners.side + middle) * corners.side + middle) * 3;
        ASSERT_LT(at, last);
        corners.far.write(at, pixel, 3);
        want.insert(want.end(), pixel, pixel + 3);
    }
    resize({.x = corners.far.get(),
            .y = y.get(),
            .n = Corners::kImages,
            .h = corners.side,
            .w = corners.side,
            .c = 3,
            .out_h = 1,
            .out_w = 1,
            .bilinear = false,
            .from = DType::kF32},
           nullptr);
    EXPECT_EQ(y.doubles(), want);
}

// A data set of more than 2^31 bytes: its last image, its first, and the one across the limit.
TEST(FarTensors, DataSet) {
    constexpr std::int64_t kPixels = 48 * 48, kCount = (std::int64_t{1} << 31) / kPixels + 1000;
    const Sparse<std::uint8_t> images(kCount * kPixels);
    const Sparse<std::int32_t> labels(kCount);
    const auto order = DeviceArray<std::int32_t>::of({kCount - 1, 0, (std::int64_t{1} << 31) / kPixels});
    const auto clock = DeviceArray<std::int64_t>::of({42, 7, 0, 0});
    std::vector<double> pixels, classes;
    for (const std::int32_t image : order.read()) {
        std::vector<std::uint8_t> values(kPixels);
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = static_cast<std::uint8_t>(static_cast<std::size_t>(image) + i * i);
        }
        const std::int32_t label = image % 7;
        images.write(image * kPixels, values.data(), kPixels);
        labels.write(image, &label, 1);
        pixels.insert(pixels.end(), values.begin(), values.end());
        classes.push_back(label);
    }
    const DeviceArray<std::uint8_t> copies(pixels.size());
    const DeviceArray<std::int32_t> batch_labels(3);
    gather({.images = images.get(),
            .labels = labels.get(),
            .order = order.get(),
            .clock = clock.get(),
            .batch_images = copies.get(),
            .batch_labels = batch_labels.get(),
            .batch = 3,
            .pixels = kPixels},
           nullptr);
    EXPECT_EQ(copies.doubles(), pixels);
    EXPECT_EQ(batch_labels.doubles(), classes);

    const DeviceArray<float> y(pixels.size());
    ImageBatch batch{.images = images.get(),
                     .labels = labels.get(),
                     .order = order.get(),
                     .clock = clock.get(),
                     .y = y.get(),
                     .batch_labels = batch_labels.get(),
                     .batch = 3,
                     .h = 48,
                     .w = 48,
                     .augmentation = {},
                     .scale = 1};
    image_batch(batch, nullptr);
    EXPECT_EQ(y.doubles(), pixels);

    const FirstConvShape shape{
        .n = 3, .h = 48, .w = 48, .c = 1, .kh = 3, .kw = 3, .k = 8, .top = 1, .left = 1, .p = 48, .q = 48};
    const DeviceArray<float> w(test::small_integers(72, 2)), from_set(8 * pixels.size()), from_copy(from_set.size());
    first_conv_fwd({.shape = shape, .x = y.get(), .w = w.get(), .y = from_copy.get()}, nullptr);
    const DeviceArray<float> made(pixels.size());
    batch.y = made.get();
    first_conv_fwd({.shape = shape, .batch = batch, .w = w.get(), .y = from_set.get()}, nullptr);
    EXPECT_TRUE(same_bits(from_set.read(), from_copy.read()));
    EXPECT_EQ(made.doubles(), pixels);
}

}  // namespace
}  // namespace fer::FER_PORT

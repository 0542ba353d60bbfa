// A sum cut into two parts is, bit for bit, what the two parts give alone and then added.
#include "kernels/conv2d.hpp"
#include "kernels/depthwise.hpp"
#include "kernels/first_conv.hpp"
#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

/// weights(first image, images) for the whole batch of two against the sum of the two images' own.
template <class Weights>
void expect_sum_of_images(Weights weights) {
    const std::vector<float> first = weights(0, 1), second = weights(1, 1);
    std::vector<float> want(first.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
        want[i] = first[i] + second[i];
    }
    EXPECT_TRUE(same_bits(weights(0, 2), want));
    EXPECT_FALSE(same_bits(first, second));
}

// An image of 4x8 pixels is two tiles of the sum in f32, one in the 16-bit types.
TEST(SumsOfParts, ConvolutionWeights) {
    const auto check = [&]<class T>(T) {
        const DeviceArray<T> x(test::uniform(2 * 4 * 8 * 8, 1)), dy(test::uniform(2 * 4 * 8 * 16, 2));
        expect_sum_of_images([&](int first, int n) {
            const DeviceArray<float> dw(9 * 8 * 16);
            Conv2dWgrad a{
                .shape =
                    {.n = n, .h = 4, .w = 8, .c = 8, .kh = 3, .kw = 3, .k = 16, .top = 1, .left = 1, .p = 4, .q = 8},
                .x = x.get() + first * 4 * 8 * 8,
                .dy = dy.get() + first * 4 * 8 * 16,
                .dw = dw.get(),
                .dtype = DTypeOf<T>::value,
                .dw_dtype = DType::kF32,
                .choice = {.splits = n}};
            const DeviceArray<char> workspace(static_cast<std::size_t>(conv2d_wgrad_workspace(a)));
            a.workspace = workspace.get();
            conv2d_wgrad(a, nullptr);
            return dw.read();
        });
    };
    check(float{});
    check(__half{});
    check(__nv_bfloat16{});
}

// 8 threads side by side along the channels leave 32 rows of 16 columns to a block: an image.
TEST(SumsOfParts, DepthwiseWeights) {
    const std::size_t image = 32 * 16 * 32;
    const DeviceArray<float> x(test::uniform(2 * image, 1)), dy(test::uniform(2 * image, 2));
    expect_sum_of_images([&](int first, int n) {
        const DeviceArray<float> dw(9 * 32);
        DepthwiseWgrad a{
            .shape = {.n = n, .h = 32, .w = 16, .c = 32, .kh = 3, .kw = 3, .top = 1, .left = 1, .p = 32, .q = 16},
            .x = x.get() + static_cast<std::size_t>(first) * image,
            .dy = dy.get() + static_cast<std::size_t>(first) * image,
            .dw = dw.get()};
        const DeviceArray<char> workspace(static_cast<std::size_t>(depthwise_wgrad_workspace(a)));
        a.workspace = workspace.get();
        depthwise_wgrad(a, nullptr);
        return dw.read();
    });
}

// A row of 32 columns is walked in halves, each by a warp of its own: 32 threads side by side along the channels.
TEST(SumsOfParts, DepthwiseWeightsOfRows) {
    const std::size_t half = 16 * 128;
    const DeviceArray<float> x(test::uniform(2 * half, 1)), dy(test::uniform(2 * half, 2));
    expect_sum_of_images([&](int first, int n) {
        const DeviceArray<float> dw(128);
        DepthwiseWgrad a{.shape = {.n = 1, .h = 1, .w = 16 * n, .c = 128, .kh = 1, .kw = 1, .p = 1, .q = 16 * n},
                         .x = x.get() + static_cast<std::size_t>(first) * half,
                         .dy = dy.get() + static_cast<std::size_t>(first) * half,
                         .dw = dw.get()};
        const DeviceArray<char> workspace(static_cast<std::size_t>(depthwise_wgrad_workspace(a)));
        a.workspace = workspace.get();
        depthwise_wgrad(a, nullptr);
        return dw.read();
    });
}

// A tile of the first convolution: an image of 8x16 pixels.
TEST(SumsOfParts, FirstConvolutionWeights) {
    const DeviceArray<float> x(test::uniform(2 * 128, 1)), dy(test::uniform(2 * 128 * 8, 2));
    expect_sum_of_images([&](int first, int n) {
        const DeviceArray<float> dw(9 * 8), dbias(8);
        FirstConvWgrad a{
            .shape = {.n = n, .h = 8, .w = 16, .c = 1, .kh = 3, .kw = 3, .k = 8, .top = 1, .left = 1, .p = 8, .q = 16},
            .x = x.get() + first * 128,
            .dy = dy.get() + first * 128 * 8,
            .dw = dw.get(),
            .dbias = dbias.get()};
        const DeviceArray<char> workspace(static_cast<std::size_t>(first_conv_wgrad_workspace(a)));
        a.workspace = workspace.get();
        first_conv_wgrad(a, nullptr);
        std::vector<float> both = dw.read();
        const std::vector<float> bias = dbias.read();
        both.insert(both.end(), bias.begin(), bias.end());
        return both;
    });
}

}  // namespace
}  // namespace fer::FER_PORT

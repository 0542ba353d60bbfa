// How many blocks a launch has, on the emulated device: cutting a sum elsewhere, or a block with nothing to do, changes
// no result but costs time. Expected numbers are worked out by hand beside each case.
#if defined(FER_EMULATED)
#include "kernels/batch_norm.hpp"
#include "kernels/bias.hpp"
#include "kernels/cast.hpp"
#include "kernels/dense.hpp"
#include "kernels/depthwise.hpp"
#include "kernels/emulator/block.hpp"
#include "kernels/first_conv.hpp"
#include "kernels/image.hpp"
#include "kernels/l2.hpp"
#include "kernels/optimizer.hpp"
#include "kernels/pool.hpp"
#include "kernels/relu.hpp"
#include "kernels/separable.hpp"
#include "kernels/softmax_xent.hpp"
#include "kernels/sum_partials.hpp"
#include "tests/kernels/reference_case.hpp"

namespace fer::emulated {
namespace {

/// Of all launches that run() makes.
template <class Run>
std::uint64_t blocks_of(Run run) {
    const std::uint64_t before = work().blocks;
    run();
    FER_CUDA(cudaDeviceSynchronize());
    return work().blocks - before;
}

template <class T = float>
DeviceArray<T> zeros(std::int64_t count) {
    return DeviceArray<T>(std::vector<double>(static_cast<std::size_t>(count)));
}
template <class T = float>
DeviceArray<T> output(std::int64_t count) {
    return DeviceArray<T>(static_cast<std::size_t>(count));
}

template <class T>
std::uint64_t bias_gradient(std::int64_t rows, int c) {
    const auto dy = zeros<T>(rows * c);
    const auto db = output(c);
    const auto workspace = output<char>(static_cast<std::int64_t>(bias_grad_workspace(rows, c)));
    return blocks_of([&] {
        bias_bwd({.dy = dy.get(),
                  .db = db.get(),
                  .dtype = DTypeOf<T>::value,
                  .rows = rows,
                  .c = c,
                  .workspace = workspace.get()},
                 nullptr);
    });
}

// Parts of 8 rows for each of 256 / lanes threads, times groups of channels; and a block per 8 channels at the end.
TEST(Launches, Columns) {
    EXPECT_EQ(bias_gradient<float>(1000, 32), 4 + 4);          // 8 lanes: parts of 256
    EXPECT_EQ(bias_gradient<float>(96, 256), 2 * 2 + 32);      // 32 lanes, the most: parts of 64, 2 groups
    EXPECT_EQ(bias_gradient<float>(40, 128), 1 + 16);          // 32 lanes: one group
    EXPECT_EQ(bias_gradient<float>(2048, 1), 1 + 1);           // 1 lane: parts of 2048
    EXPECT_EQ(bias_gradient<float>(2049, 1), 2 + 1);           //
    EXPECT_EQ(bias_grad_workspace(4096, 1), 2 * 4u);           //
    EXPECT_EQ(batch_norm_workspace(4096, 1), 2 * 2 * 4u);      //
    EXPECT_EQ(bias_gradient<__half>(69632, 33), 512 * 2 + 5);  // 1024 blocks are enough: 512 parts of 136
    EXPECT_EQ(bias_gradient<__half>(69633, 33),
              484 * 2 + 5);  // 137 rows, rounded up to the 8 that a block reads at once
}

std::uint64_t depthwise(const DepthwiseShape& s) {
    const auto x = zeros(std::int64_t{s.n} * s.h * s.w * s.c), w = zeros(s.kh * s.kw * s.c);
    const auto y = output(std::int64_t{s.n} * s.p * s.q * s.c);
    return blocks_of([&] { depthwise_fwd({.shape = s, .x = x.get(), .w = w.get(), .y = y.get()}, nullptr); });
}
std::uint64_t depthwise_weights(const DepthwiseShape& s) {
    const auto x = zeros(std::int64_t{s.n} * s.h * s.w * s.c), dy = zeros(std::int64_t{s.n} * s.p * s.q * s.c);
    const auto dw = output(s.kh * s.kw * s.c);
    DepthwiseWgrad a{.shape = s, .x = x.get(), .dy = dy.get(), .dw = dw.get()};
    const auto workspace = output<char>(depthwise_wgrad_workspace(a));
    a.workspace = workspace.get();
    return blocks_of([&] { depthwise_wgrad(a, nullptr); });
}
DepthwiseShape same(int n, int h, int w, int c, int kernel) {
    return {.n = n,
            .h = h,
            .w = w,
            .c = c,
            .kh = kernel,
            .kw = kernel,
            .top = kernel / 2,
            .left = kernel / 2,
            .p = h,
            .q = w};
}

TEST(Launches, Depthwise) {
    EXPECT_EQ(depthwise(same(1, 8, 16, 32, 3)), 1);  // exactly a tile
    EXPECT_EQ(depthwise(same(1, 9, 17, 36, 3)), 8);
    // 8 lanes, so 32 rows of 16 columns at a time; and 32 sums a block at the end.
    EXPECT_EQ(depthwise_weights(same(2, 32, 16, 32, 3)), 2 + 9);
    EXPECT_EQ(depthwise_weights(same(2, 32, 17, 32, 3)), 4 + 9);
    // 4 groups of channels and 6 of kernel places leave 21 parts of the 512 blocks, of 8 rows each; then of 16.
    EXPECT_EQ(depthwise_weights(same(1, 168, 1, 512, 7)), 21 * 24 + 784);
    EXPECT_EQ(depthwise_weights(same(1, 169, 1, 512, 7)), 11 * 24 + 784);
}

FirstConvShape first_layer(int n, int h, int w, int kernel, int k = 8) {
    return {.n = n,
            .h = h,
            .w = w,
            .c = 1,
            .kh = kernel,
            .kw = kernel,
            .k = k,
            .top = kernel / 2,
            .left = kernel / 2,
            .p = h,
            .q = w};
}
std::uint64_t first_weights(const FirstConvShape& s) {
    const auto x = zeros(s.n * s.h * s.w), dy = zeros(s.n * s.h * s.w * s.k);
    const auto dw = output(s.kh * s.kw * s.k);
    FirstConvWgrad a{.shape = s, .x = x.get(), .dy = dy.get(), .dw = dw.get()};
    const auto workspace = output<char>(first_conv_wgrad_workspace(a));
    a.workspace = workspace.get();
    return blocks_of([&] { first_conv_wgrad(a, nullptr); });
}

TEST(Launches, FirstConvolution) {
    EXPECT_EQ(first_weights(first_layer(1, 8, 16, 3)), 1 + 3);  // a tile
    EXPECT_EQ(first_weights(first_layer(1, 9, 17, 3)), 4 + 3);
    EXPECT_EQ(first_weights(first_layer(1, 8, 16, 5)), 3 + 7);      // 25 places, 9 at a time
    EXPECT_EQ(first_weights(first_layer(1, 8, 16, 3, 32)), 1 + 9);  // 32 channels at a time
    // Blocks that share a sum, each with 8 sums and 8 of the bias: 512 at most, then two tiles each.
    const auto workspace = [](int n) {
        return first_conv_wgrad_workspace(
            {.shape = first_layer(n, 1, 1, 1), .x = nullptr, .dy = nullptr, .dw = nullptr});
    };
    EXPECT_EQ(workspace(512), 512 * 16 * 4);
    EXPECT_EQ(workspace(513), 257 * 16 * 4);
}

TEST(Launches, SplitSums) {
    // 128 x 8 sums: two pieces of 16 bytes a row, 256 a block.
    const auto x = zeros(40 * 128), dy = zeros(40 * 8), partials = zeros(4 * 32);
    const auto dw = output(128 * 8);
    DenseWgrad a{.x = x.get(), .dy = dy.get(), .dw = dw.get(), .n = 40, .k = 128, .m = 8, .choice = {.splits = 2}};
    const auto workspace = output<char>(dense_wgrad_workspace(a));
    a.workspace = workspace.get();
    EXPECT_EQ(blocks_of([&] { dense_wgrad(a, nullptr); }), dense_wgrad_plan(a).blocks() + 1);
    EXPECT_EQ(blocks_of([&] {
                  sum_partials({.partials = partials.get(), .out = dw.get(), .parts = 4, .count = 32, .pitch = 32},
                               nullptr);
              }),
              1);
    // 1024 blocks of 8192 elements; then of whole 256s.
    EXPECT_EQ(l2_penalty_workspace(std::int64_t{8192} << 10), 1024 * sizeof(double));
    EXPECT_EQ(l2_penalty_workspace((std::int64_t{8192} << 10) + 1), 993 * sizeof(double));
    EXPECT_EQ(l2_penalty_workspace(std::int64_t{8448} << 10), 1024 * sizeof(double));
}

TEST(Launches, Rows) {
    const auto x = zeros(2112 * 8);
    const auto p = output(16 * 7), loss = output(1);
    const auto labels = zeros<std::int32_t>(2112);
    const auto rows = output<char>(static_cast<std::int64_t>(softmax_xent_workspace(2112)));
    EXPECT_EQ(blocks_of([&] { softmax_fwd({.x = x.get(), .p = p.get(), .n = 16, .classes = 7}, nullptr); }), 2);
    const auto xent = [&](int n, int classes) {
        return blocks_of([&] {
            softmax_xent({.x = x.get(),
                          .labels = labels.get(),
                          .loss = loss.get(),
                          .n = n,
                          .classes = classes,
                          .workspace = rows.get()},
                         nullptr);
        });
    };
    EXPECT_EQ(xent(2048, 7), 1);
    EXPECT_EQ(xent(2112, 7), 33 + 1);  // 64 rows of 8 lanes each
    EXPECT_EQ(xent(2112, 8), 33 + 1);
}

TEST(Launches, ImagesByChannels) {
    const auto x = zeros(2 * 128), y = output(2 * 128);
    EXPECT_EQ(
        blocks_of([&] { global_avg_pool_fwd({.x = x.get(), .y = y.get(), .n = 2, .places = 1, .c = 128}, nullptr); }),
        2);  // 32 lanes of 4 channels each
    const auto pixels = zeros(64 * 4), w = zeros(16), result = output(64 * 4);
    EXPECT_EQ(blocks_of([&] {
                  separable_fwd({.shape = {.n = 1, .h = 8, .w = 8, .c = 4, .kh = 1, .kw = 1, .p = 8, .q = 8},
                                 .k = 4,
                                 .x = pixels.get(),
                                 .depth = w.get(),
                                 .point = w.get(),
                                 .y = result.get()},
                                nullptr);
              }),
              1);  // 64 pixels
}

TEST(Launches, Elements) {
    const auto x = zeros(1024);
    const auto y = output<__half>(1024);
    EXPECT_EQ(blocks_of([&] {
                  cast({.x = x.get(), .y = y.get(), .count = 1024, .from = DType::kF32, .to = DType::kF16}, nullptr);
              }),
              1);
    const auto long_x = zeros(2048);  // 8 a thread
    const auto long_y = output(2048);
    EXPECT_EQ(
        blocks_of([&] { relu_fwd({.x = long_x.get(), .y = long_y.get(), .mask = nullptr, .count = 2048}, nullptr); }),
        1);
    const auto clock = zeros<std::int64_t>(4);
    const auto images = zeros<std::uint8_t>(2 * 1024);
    const auto copies = output(2 * 1024);
    EXPECT_EQ(blocks_of([&] {
                  augment({.x = images.get(),
                           .y = copies.get(),
                           .clock = clock.get(),
                           .n = 2,
                           .h = 32,
                           .w = 32,
                           .c = 1,
                           .augmentation = {}},
                          nullptr);
              }),
              2);
}

// A tile of 1024 elements each, up to 1056 blocks; then two. An overflow ends every block at once.
TEST(Launches, FlatBlocks) {
    const auto scale = DeviceArray<LossScale>::of({LossScale{.overflow = 1}});
    const auto blocks = [&](std::int64_t count) {
        const FlatBlock block{.grads = nullptr,
                              .params = nullptr,
                              .count = count,
                              .rate = nullptr,
                              .clock = nullptr,
                              .scale = scale.get()};
        return blocks_of([&] { sgd({.block = block}, nullptr); });
    };
    EXPECT_EQ(blocks(2 * 1024), 2);
    EXPECT_EQ(blocks(1056 * 1024), 1056);
    EXPECT_EQ(blocks(1056 * 1024 + 1), 529);
}

}  // namespace
}  // namespace fer::emulated
#endif

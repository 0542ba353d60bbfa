// The same bits under every schedule, for the kernels whose own tests do not look at schedules.
#include "kernels/add.hpp"
#include "kernels/batch_norm.hpp"
#include "kernels/bias.hpp"
#include "kernels/counters.hpp"
#include "kernels/image.hpp"
#include "kernels/l2.hpp"
#include "kernels/optimizer.hpp"
#include "kernels/pool.hpp"
#include "kernels/relu.hpp"
#include "kernels/softmax_xent.hpp"
#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

/// What all of them hold, one after the other.
template <class... T>
std::vector<char> bytes_of(const DeviceArray<T>&... arrays) {
    std::vector<char> all;
    const auto append = [&](const auto& values) {
        const auto* begin = reinterpret_cast<const char*>(values.data());
        all.insert(all.end(), begin, begin + values.size() * sizeof(values[0]));
    };
    (append(arrays.read()), ...);
    return all;
}

template <class T>
class Schedules : public ::testing::Test {
protected:
    static constexpr DType kType = DTypeOf<T>::value;
    static constexpr int kRows = 35, kChannels = 24, kCount = kRows * kChannels;  // rows: 5 x 7 pixels

    DeviceArray<T> x{test::uniform(kCount, 1)}, dy{test::uniform(kCount, 2)};
    DeviceArray<float> mean{test::uniform(kChannels, 3)}, variance{test::uniform(kChannels, 4, 1, 2)},
        gamma{test::uniform(kChannels, 5, 1, 2)}, beta{test::uniform(kChannels, 6)};
};
TYPED_TEST_SUITE(Schedules, StorageTypes);

TYPED_TEST(Schedules, Elementwise) {
    using F = TestFixture;
    expect_same_bits_always([&] {
        const DeviceArray<TypeParam> sum(F::kCount), dx(F::kCount), biased(F::kCount);
        const DeviceArray<std::uint32_t> mask(static_cast<std::size_t>(mask_words(F::kCount)));
        add_fwd({.a = this->x.get(),
                 .b = this->dy.get(),
                 .y = sum.get(),
                 .mask = mask.get(),
                 .count = F::kCount,
                 .activation = Activation::kRelu,
                 .dtype = F::kType},
                nullptr);
        relu_bwd({.dy = this->dy.get(),
                  .y = nullptr,
                  .mask = mask.get(),
                  .dx = dx.get(),
                  .count = F::kCount,
                  .activation = Activation::kRelu,
                  .dtype = F::kType},
                 nullptr);
        bias_fwd({.x = this->x.get(),
                  .b = this->beta.get(),
                  .y = biased.get(),
                  .dtype = F::kType,
                  .rows = F::kRows,
                  .c = F::kChannels},
                 nullptr);
        return bytes_of(sum, mask, dx, biased);
    });
}

TYPED_TEST(Schedules, BatchNormalization) {
    using F = TestFixture;
    expect_same_bits_always([&] {
        const DeviceArray<TypeParam> y(F::kCount), dx(F::kCount), p(2 * 3 * F::kChannels);
        const DeviceArray<std::uint8_t> argmax(p.size());
        batch_norm_apply({.x = this->x.get(),
                          .mean = this->mean.get(),
                          .variance = this->variance.get(),
                          .gamma = this->gamma.get(),
                          .beta = this->beta.get(),
                          .y = y.get(),
                          .dtype = F::kType,
                          .rows = F::kRows,
                          .c = F::kChannels},
                         nullptr);
        batch_norm_pool({.x = this->x.get(),
                         .mean = this->mean.get(),
                         .variance = this->variance.get(),
                         .gamma = this->gamma.get(),
                         .beta = this->beta.get(),
                         .p = p.get(),
                         .argmax = argmax.get(),
                         .dtype = F::kType,
                         .n = 1,
                         .h = 5,
                         .w = 7,
                         .c = F::kChannels},
                        nullptr);
        batch_norm_inference_bwd({.dy = this->dy.get(),
                                  .variance = this->variance.get(),
                                  .gamma = this->gamma.get(),
                                  .dx = dx.get(),
                                  .dtype = F::kType,
                                  .rows = F::kRows,
                                  .c = F::kChannels},
                                 nullptr);
        return bytes_of(y, p, argmax, dx);
    });
}

TYPED_TEST(Schedules, SoftmaxAndGlobalPool) {
    using F = TestFixture;
    const auto labels = DeviceArray<std::int32_t>::of(std::vector<std::int32_t>(F::kRows, 3));
    const DeviceArray<float> dp(test::uniform(F::kCount, 7));
    expect_same_bits_always([&] {
        const DeviceArray<float> p(F::kCount);
        const DeviceArray<TypeParam> dx(F::kCount), dlogits(F::kCount), spread(F::kCount);
        softmax_fwd({.x = this->x.get(), .p = p.get(), .dtype = F::kType, .n = F::kRows, .classes = F::kChannels},
                    nullptr);
        softmax_bwd(
            {.dp = dp.get(), .p = p.get(), .dx = dx.get(), .dtype = F::kType, .n = F::kRows, .classes = F::kChannels},
            nullptr);
        softmax_xent_bwd({.p = p.get(),
                          .labels = labels.get(),
                          .dx = dlogits.get(),
                          .dtype = F::kType,
                          .n = F::kRows,
                          .classes = F::kChannels},
                         nullptr);
        global_avg_pool_bwd({.dy = this->dy.get(),
                             .dx = spread.get(),
                             .n = 1,
                             .places = F::kRows,
                             .c = F::kChannels,
                             .dtype = F::kType},
                            nullptr);
        return bytes_of(p, dx, dlogits, spread);
    });
}

TYPED_TEST(Schedules, Images) {
    using F = TestFixture;
    const auto pixels = DeviceArray<std::uint8_t>::of(std::vector<std::uint8_t>(F::kCount, 77));
    const auto labels = DeviceArray<std::int32_t>::of({4, 5, 6}), order = DeviceArray<std::int32_t>::of({2, 0});
    const auto clock = DeviceArray<std::int64_t>::of({42, 7, 0, 0});
    expect_same_bits_always([&] {
        const DeviceArray<TypeParam> scaled(F::kCount), resized(4 * 6 * 3), rgb(3 * F::kCount), batch(2 * 16 * 16);
        const DeviceArray<std::uint8_t> gathered(2 * 256);
        const DeviceArray<std::int32_t> batch_labels(2), gathered_labels(2);
        rescale({.x = this->x.get(),
                 .y = scaled.get(),
                 .rows = F::kCount / 3,
                 .c = 3,
                 .offset = {1, 2, 3},
                 .from = F::kType,
                 .to = F::kType},
                nullptr);
        resize({.x = this->x.get(),
                .y = resized.get(),
                .n = 1,
                .h = 20,
                .w = 14,
                .c = 3,
                .out_h = 4,
                .out_w = 6,
                .from = F::kType,
                .to = F::kType},
               nullptr);
        gray_to_rgb({.x = this->x.get(), .y = rgb.get(), .count = F::kCount, .dtype = F::kType}, nullptr);
        image_batch({.images = pixels.get(),
                     .labels = labels.get(),
                     .order = order.get(),
                     .clock = clock.get(),
                     .y = batch.get(),
                     .batch_labels = batch_labels.get(),
                     .batch = 2,
                     .h = 16,
                     .w = 16,
                     .augmentation = {.rotation = 20},
                     .to = F::kType},
                    nullptr);
        gather({.images = pixels.get(),
                .labels = labels.get(),
                .order = order.get(),
                .clock = clock.get(),
                .batch_images = gathered.get(),
                .batch_labels = gathered_labels.get(),
                .batch = 2,
                .pixels = 256},
               nullptr);
        return bytes_of(scaled, resized, rgb, batch, batch_labels, gathered, gathered_labels);
    });
}

TEST(SchedulesOfState, OptimizerAndCounters) {
    const DeviceArray<float> values(test::uniform(3000, 1));
    expect_same_bits_always([&] {
        const DeviceArray<float> average(test::uniform(3000, 2)), dw(3000), second(test::uniform(3000, 3, 0, 1)),
            params(test::uniform(3000, 4)), rate(std::vector<double>{0.1});
        const auto scale = DeviceArray<LossScale>::of({LossScale{}});
        const auto clock = DeviceArray<std::int64_t>::of({1, 2, 3, 4});
        l2_bwd({.w = values.get(), .dw = dw.get(), .count = 3000, .lambda = 0.5f}, nullptr);
        rmsprop({.block = {.grads = values.get(),
                           .params = params.get(),
                           .count = 3000,
                           .rate = rate.get(),
                           .clock = clock.get()},
                 .v = second.get()},
                nullptr);
        ema({.w = params.get(), .average = average.get(), .count = 3000, .decay = 0.9f}, nullptr);
        grads_check({.grads = values.get(), .count = 3000, .state = scale.get()}, nullptr);
        loss_scale_update({.state = scale.get()}, nullptr);
        advance({.clock = clock.get(), .batch = 64}, nullptr);
        return bytes_of(average, dw, second, params, scale, clock);
    });
}

}  // namespace
}  // namespace fer::FER_PORT

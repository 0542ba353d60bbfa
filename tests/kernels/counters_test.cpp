#include "kernels/counters.hpp"

#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

TEST(AdvanceKernel, MovesStepAndCursor) {
    const auto clock = DeviceArray<std::int64_t>::of({-5, 0xffffffff, 1ll << 40, 9});
    advance({.clock = clock.get(), .batch = 64}, nullptr);
    advance({.clock = clock.get(), .batch = 63}, nullptr);
    EXPECT_EQ(clock.read(), (std::vector<std::int64_t>{-5, 0x100000001, (1ll << 40) + 127, 9}));
}

TEST(MetricsKernel, EqualsTheReference) {
    for (const int images :
         {0, 1, 2, 7, 31, 32, 33, 63, 64, 65, 97, 127, 128, 255, 256, 257, 511, 512, 1000, 1024, 4099}) {
        for (const double loss : {1.25, 0.0, static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
            SCOPED_TRACE(fmt::format("{} images, loss {}", images, loss));
            std::vector<double> flags = test::small_integers(static_cast<std::size_t>(images), 1);
            for (double& f : flags) {
                f = f > 0 ? 1 : 0;
            }
            const DeviceArray<std::uint8_t> hits(flags);
            const DeviceArray<float> loss_value(std::vector<double>{loss});
            const DeviceArray<double> sums(std::vector<double>{0.5, 3, 100, 2});
            const auto want = test::run_reference(OpKind::kMetrics, NoAttrs{},
                                                  {{Shape{}, {loss}, DType::kF32}, {{images}, flags, DType::kU8}},
                                                  {{{kMetricFields}, sums.inputs(), DType::kF64}});
            metrics({.loss = loss_value.get(), .hits = hits.get(), .sums = sums.get(), .images = images}, nullptr);
            EXPECT_TRUE(exactly(sums.read(), want.state[0].values));
            hits.expect_unchanged();
        }
    }
}

TEST(MetricsKernel, SameBitsUnderEverySchedule) {
    expect_same_bits_always([&] {
        const DeviceArray<std::uint8_t> hits(std::vector<double>(777, 1.0));
        const DeviceArray<float> loss(std::vector<double>{0.1});
        const DeviceArray<double> sums(std::vector<double>(4, 0.0));
        metrics({.loss = loss.get(), .hits = hits.get(), .sums = sums.get(), .images = 777}, nullptr);
        return sums.read();
    });
}

}  // namespace
}  // namespace fer::FER_PORT

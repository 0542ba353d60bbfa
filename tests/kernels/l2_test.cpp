#include "kernels/l2.hpp"

#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

const std::vector<std::int64_t> kCounts = {0,   1,   2,    3,    31,   32,    33,    97,    255,   256,  257,
                                           511, 999, 8191, 8192, 8193, 10007, 16384, 16385, 24576, 30011};

double penalty_of(const DeviceArray<float>& w, const std::vector<L2Segment>& table, float lambda, double before) {
    const auto segments = DeviceArray<L2Segment>::of(table);
    const auto count = static_cast<std::int64_t>(w.size());
    const DeviceArray<char> workspace(l2_penalty_workspace(count));
    const auto out = before == 0 ? DeviceArray<float>(std::size_t{1}) : DeviceArray<float>(std::vector<double>{before});
    l2_penalty({.w = w.get(),
                .count = count,
                .segments = table.empty() ? nullptr : segments.get(),
                .segment_count = as_int(static_cast<std::int64_t>(table.size())),
                .lambda = lambda,
                .penalty = out.get(),
                .accumulate = before != 0,
                .workspace = workspace.get()},
               nullptr);
    workspace.read();
    w.expect_unchanged();
    return out.doubles()[0];
}

TEST(L2PenaltyKernel, MatchesReference) {
    for (const std::int64_t count : kCounts) {
        SCOPED_TRACE(count);
        const DeviceArray<float> w(test::uniform(static_cast<std::size_t>(count), 1));
        const auto want = test::run_reference(OpKind::kL2Penalty, ScalarAttrs{0.01f}, {tensor_of(Shape{count}, w)});
        const double value = want.out[0].values[0];
        EXPECT_TRUE(test::close(penalty_of(w, {}, 0.01f, 0), value, test::float_steps(2, 0)));
        EXPECT_TRUE(test::close(penalty_of(w, {}, 0.01f, 2), 2 + value, test::float_steps(2, 0)));
    }
}

TEST(L2PenaltyKernel, IntegersAreExact) {
    for (const std::int64_t count : kCounts) {
        const DeviceArray<float> w(test::small_integers(static_cast<std::size_t>(count), 2));
        double want = 0;
        for (const double v : w.inputs()) {
            want += 0.5 * v * v;
        }
        EXPECT_EQ(penalty_of(w, {}, 0.5f, 0), want) << count;
    }
}

TEST(L2PenaltyKernel, SegmentsHaveTheirOwnFactors) {
    std::vector<double> values = test::small_integers(20000, 3);
    values[19999] = INFINITY;  // outside every segment: not a penalty, not a NaN
    const DeviceArray<float> w(values);
    const std::vector<L2Segment> tables[] = {
        {{0, 1, 0.5f}},
        {{5, 300, 0.5f}, {300, 301, 4.0f}, {8191, 8193, 2.0f}, {9000, 19999, 0.25f}},
        {{100, 19998, 1.0f}}};
    for (const auto& table : tables) {
        double want = 0;
        for (const L2Segment& s : table) {
            for (std::uint32_t i = s.begin; i < s.end; ++i) {
                want += static_cast<double>(s.lambda) * values[i] * values[i];
            }
        }
        EXPECT_EQ(penalty_of(w, table, 0, 0), want);
    }
}

TEST(L2PenaltyKernel, SameBitsUnderEverySchedule) {
    const DeviceArray<float> w(test::uniform(9000, 4));
    expect_same_bits_always([&] { return std::vector<double>{penalty_of(w, {}, 0.01f, 0)}; });
}

TEST(L2GradKernel, EqualsTheCpuBitForBit) {
    for (const std::int64_t count : kCounts) {
        SCOPED_TRACE(count);
        const DeviceArray<float> w(test::uniform(static_cast<std::size_t>(count), 5));
        const DeviceArray<float> dloss(std::vector<double>{0.75});
        const test::Tensor w32{{count}, w.inputs(), DType::kF32}, d32{Shape{}, {0.75}, DType::kF32};
        const auto want = test::run_reference(OpKind::kL2Grad, ScalarAttrs{0.01f}, {w32, d32});
        const DeviceArray<float> dw(w.size());
        l2_bwd({.w = w.get(), .dloss = dloss.get(), .dw = dw.get(), .count = count, .lambda = 0.01f}, nullptr);
        EXPECT_TRUE(exactly(dw.read(), want.out[0].values));
        w.expect_unchanged();
    }
}

TEST(L2GradKernel, AddsWhereAskedTo) {
    const DeviceArray<float> w(test::small_integers(300, 6)), dw(test::small_integers(300, 7));
    std::vector<double> want = dw.inputs();
    for (std::size_t i = 0; i < want.size(); ++i) {
        want[i] += w.inputs()[i];
    }
    l2_bwd({.w = w.get(), .dw = dw.get(), .count = 300, .lambda = 0.5f, .accumulate = true}, nullptr);
    EXPECT_TRUE(exactly(dw.read(), want));
}

}  // namespace
}  // namespace fer::FER_PORT

// What a session derives from its variables is right whenever it is used: folded weights, 16-bit copies.
#include <gtest/gtest.h>

#include "engine/run/devices.hpp"
#include "engine/train/session.hpp"
#include "tests/support/tolerance.hpp"
#include "tests/train/small_run.hpp"

namespace fer::test {
namespace {

/// A norm behind a convolution, which evaluation folds.
void foldable_net(Net& net) {
    net.conv(4, 3).batch_norm().relu().max_pool(4, 4);
    net.flatten().dense(8).relu();
    net.logits(7);
}

struct Where {
    const char* device;
    Precision precision;
};

class SessionDerives : public ::testing::TestWithParam<Where> {
protected:
    void SetUp() override {
        const auto names = device_names();
        if (std::ranges::count(names, GetParam().device) == 0) {
            GTEST_SKIP() << "this build has no such device";
        }
    }
    std::unique_ptr<Session> session(const std::string& fusions) const {
        StepOptions options;
        options.batch = 16;
        options.fuse = fusions;
        options.precision = GetParam().precision;
        options.input.height = options.input.width = 24;
        const Device& device = find_device(GetParam().device);
        auto made = std::make_unique<Session>(foldable_net, options, SmallRun::default_faces(), device,
                                              open_runtime(device), Session::Use::kTrain);
        initialize(made->variables(), made->step(), 3);
        made->set_learning_rate(1e-2f);
        made->set_order(order_);
        return made;
    }
    double loss(Session& session) const { return session.evaluate(order_).metrics.loss; }
    /// Folded weights are rounded to 16 bits behind the fold instead of before it.
    Tolerance bound() const { return {0, GetParam().precision == Precision::kFp32 ? 1e-5 : 2e-2}; }

    const std::vector<std::int32_t> order_ = [] {
        std::vector<std::int32_t> order(64);
        std::iota(order.begin(), order.end(), 0);
        return order;
    }();
};

constexpr const char* kPlain = "bias,activation";
constexpr const char* kDerived = "fold,bias,activation,shadow,hoist";

TEST_P(SessionDerives, EvaluationFollowsTraining) {
    const auto plain = session(kPlain);
    const auto derived = session(kDerived);
    double before = loss(*derived);
    EXPECT_TRUE(close(before, loss(*plain), bound()));
    for (int step = 0; step < 3; ++step) {
        plain->train(16);
        derived->train(16);
        const double after = loss(*derived);
        EXPECT_TRUE(close(after, loss(*plain), bound())) << step;
        EXPECT_NE(after, before) << "evaluated on the weights of before";
        before = after;
    }
}

TEST_P(SessionDerives, BothFollowWhatIsWritten) {
    const auto first = session(kDerived);
    const auto second = session(kDerived);
    for (int step = 0; step < 2; ++step) {
        first->train(16);
    }
    loss(*second);
    second->train(16);  // on other weights
    for (const auto& [name, entry] : first->variables().entries()) {
        if (entry.saved()) {
            second->variables().write_bytes(second->variables().at(name), first->variables().read_bytes(entry).data());
        }
    }
    EXPECT_EQ(loss(*second), loss(*first));
    first->train(16);
    second->train(16);
    for (const auto& [name, entry] : first->variables().entries()) {
        EXPECT_TRUE(first->variables().read_bytes(entry) ==
                    second->variables().read_bytes(second->variables().at(name)))
            << name;
    }
}

INSTANTIATE_TEST_SUITE_P(Devices, SessionDerives,
                         ::testing::Values(Where{"cpu", Precision::kFp32}, Where{"emulated", Precision::kFp32},
                                           Where{"emulated", Precision::kBf16}, Where{"emulated", Precision::kFp16}),
                         [](const auto& at) {
                             return fmt::format("{}_{}", at.param.device, name_of(at.param.precision));
                         });

}  // namespace
}  // namespace fer::test

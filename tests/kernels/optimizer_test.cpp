// Optimizers over one flat block: the CPU's float32 update bit for bit, L2, shadow copies, loss scaling.
#include "kernels/optimizer.hpp"

#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

const std::vector<std::int64_t> kCounts = {0,   1,   2,    3,    4,    5,    31,   32,   33,   97,   255, 256,
                                           257, 511, 1000, 1023, 1024, 1025, 1033, 2048, 2051, 4096, 5003};
constexpr float kRate = 1e-2f;

enum class Rule { kAdam, kSgd, kMomentum, kNesterov, kRmsProp, kRmsPropMomentum };
constexpr Rule kRules[] = {Rule::kAdam,     Rule::kSgd,     Rule::kMomentum,
                           Rule::kNesterov, Rule::kRmsProp, Rule::kRmsPropMomentum};

int moments_of(Rule rule) {
    return rule == Rule::kSgd ? 0 : rule == Rule::kAdam || rule == Rule::kRmsPropMomentum ? 2 : 1;
}

Attributes attributes_of(Rule rule) {
    switch (rule) {
        case Rule::kAdam:
            return AdamAttrs{};
        case Rule::kSgd:
            return SgdAttrs{};
        case Rule::kMomentum:
            return SgdAttrs{.momentum = 0.9};
        case Rule::kNesterov:
            return SgdAttrs{.momentum = 0.9, .nesterov = true};
        case Rule::kRmsProp:
            return RmsPropAttrs{};
        case Rule::kRmsPropMomentum:
            return RmsPropAttrs{.momentum = 0.5};
    }
    return NoAttrs{};
}
OpKind kind_of(Rule rule) {
    return rule == Rule::kAdam                                        ? OpKind::kAdam
           : rule == Rule::kRmsProp || rule == Rule::kRmsPropMomentum ? OpKind::kRmsProp
                                                                      : OpKind::kSgd;
}

/// A block of parameters in the middle of a training.
struct Training {
    std::int64_t count;
    DeviceArray<float> grads, params, first, second, rate;
    DeviceArray<std::int64_t> clock;

    explicit Training(std::int64_t n, std::int64_t step = 4)
        : count(n),
          grads(test::uniform(size(), 1)),
          params(test::uniform(size(), 2)),
          first(test::uniform(size(), 3, 0, 0.1)),
          second(test::uniform(size(), 4, 0, 0.1)),
          rate(std::vector<double>{static_cast<double>(kRate)}),
          clock(std::vector<double>{11, static_cast<double>(step), 0, 0}) {}

    std::size_t size() const { return static_cast<std::size_t>(count); }
    FlatBlock block() const {
        return {.grads = grads.get(), .params = params.get(), .count = count, .rate = rate.get(), .clock = clock.get()};
    }
    void run(Rule rule, const FlatBlock& b) const {
        switch (rule) {
            case Rule::kAdam:
                return adam({.block = b, .m = first.get(), .v = second.get()}, nullptr);
            case Rule::kSgd:
                return sgd({.block = b}, nullptr);
            case Rule::kMomentum:
                return sgd({.block = b, .m = first.get(), .momentum = 0.9}, nullptr);
            case Rule::kNesterov:
                return sgd({.block = b, .m = first.get(), .momentum = 0.9, .nesterov = true}, nullptr);
            case Rule::kRmsProp:
                return rmsprop({.block = b, .v = first.get()}, nullptr);
            case Rule::kRmsPropMomentum:
                return rmsprop({.block = b, .v = first.get(), .m = second.get(), .momentum = 0.5}, nullptr);
        }
    }
    /// The CPU's update of this block with these gradients, in float32.
    std::vector<test::Tensor> want(Rule rule, const std::vector<double>& gradient) const {
        const Shape shape{count};
        const auto tensor = [&](const std::vector<double>& v) { return test::Tensor{shape, v, DType::kF32}; };
        std::vector<test::Tensor> state{tensor(params.inputs())};
        if (moments_of(rule) >= 1) {
            state.push_back(tensor(first.inputs()));
        }
        if (moments_of(rule) >= 2) {
            state.push_back(tensor(second.inputs()));
        }
        return test::run_reference(kind_of(rule), attributes_of(rule),
                                   {{Shape{}, rate.inputs(), DType::kF32},
                                    {{kClockFields}, clock.inputs(), DType::kI64},
                                    tensor(gradient)},
                                   state)
            .state;
    }
    void expect(Rule rule, const std::vector<test::Tensor>& want_state) const {
        EXPECT_TRUE(exactly(params.read(), want_state[0].values));
        if (moments_of(rule) >= 1) {
            EXPECT_TRUE(exactly(first.read(), want_state[1].values));
        }
        if (moments_of(rule) >= 2) {
            EXPECT_TRUE(exactly(second.read(), want_state[2].values));
        }
        grads.expect_unchanged();
    }
};

TEST(OptimizerKernel, EqualsTheCpuBitForBit) {
    for (const Rule rule : kRules) {
        for (const std::int64_t count : kCounts) {
            SCOPED_TRACE(fmt::format("rule {}, {} elements", static_cast<int>(rule), count));
            const Training t(count);
            const auto want = count == 0 ? std::vector<test::Tensor>(3) : t.want(rule, t.grads.inputs());
            t.run(rule, t.block());
            t.expect(rule, want);
        }
    }
}

// Keras: w = 1, g = 0.1, -0.2, 0.05; then tiny gradients, where eps inside or outside the root matters.
TEST(OptimizerKernel, AdamGoldenValues) {
    const auto steps = [](const std::vector<float>& gradients) {
        const auto w = DeviceArray<float>::of({1}), m = DeviceArray<float>::of({0}), v = DeviceArray<float>::of({0});
        const auto rate = DeviceArray<float>::of({1e-3f});
        std::vector<double> weights;
        for (std::size_t i = 0; i < gradients.size(); ++i) {
            const auto g = DeviceArray<float>::of({gradients[i]});
            const auto clock = DeviceArray<std::int64_t>::of({1, static_cast<std::int64_t>(i), 0, 0});
            adam({.block = {.grads = g.get(), .params = w.get(), .count = 1, .rate = rate.get(), .clock = clock.get()},
                  .m = m.get(),
                  .v = v.get()},
                 nullptr);
            weights.push_back(w.doubles()[0]);
        }
        return weights;
    };
    const test::Tolerance ulps = test::float_steps(8);
    EXPECT_TRUE(test::close(steps({0.1f, -0.2f, 0.05f}),
                            std::vector<double>{.9990000316217766, .9993661299708821, .9995028187463699}, ulps));
    EXPECT_TRUE(test::close(steps({1e-6f, 1e-6f}), std::vector<double>{.9997597469, .9994507833}, ulps));
}

TEST(OptimizerKernel, UnalignedBlocksGiveTheSameBits) {
    const Training t(3000);
    const auto want = t.want(Rule::kAdam, t.grads.inputs());
    const auto shifted = [](const std::vector<double>& values) {
        std::vector<double> longer{0};
        longer.insert(longer.end(), values.begin(), values.end());
        return DeviceArray<float>(longer);
    };
    const auto g = shifted(t.grads.inputs()), w = shifted(t.params.inputs()), m = shifted(t.first.inputs()),
               v = shifted(t.second.inputs());
    FlatBlock block = t.block();
    block.grads = g.get() + 1;
    block.params = w.get() + 1;
    adam({.block = block, .m = m.get() + 1, .v = v.get() + 1}, nullptr);
    EXPECT_TRUE(exactly(w.read(), shifted(want[0].values).inputs()));
    EXPECT_TRUE(exactly(v.read(), shifted(want[2].values).inputs()));
}

TEST(OptimizerKernel, SegmentsAddTheirL2Gradient) {
    const std::vector<L2Segment> tables[] = {{{0, 5000, 0.01f}},
                                             {{0, 1024, 0.5f}, {1024, 2048, 0.25f}, {2048, 2050, 1.0f}},
                                             {{3, 4, 0.5f}, {10, 1500, 0.125f}, {1501, 1502, 2.0f}, {4000, 4001, 1.0f}},
                                             {{4999, 5000, 0.5f}},
                                             {}};
    for (const auto& table : tables) {
        const Training t(5000);
        std::vector<double> gradient = t.grads.inputs();
        for (const L2Segment& s : table) {
            for (std::uint32_t i = s.begin; i < s.end; ++i) {
                const float w = static_cast<float>(t.params.inputs()[i]);
                const float l2 = 2.0f * s.lambda * w;
                gradient[i] = static_cast<double>(static_cast<float>(gradient[i]) + l2);
            }
        }
        const auto segments = DeviceArray<L2Segment>::of(table);
        FlatBlock block = t.block();
        block.segments = segments.get();
        block.segment_count = as_int(static_cast<std::int64_t>(table.size()));
        t.run(Rule::kAdam, block);
        t.expect(Rule::kAdam, t.want(Rule::kAdam, gradient));
    }
}

template <class T>
void check_shadow() {
    for (const std::int64_t count : {1, 255, 1024, 1029, 3000}) {
        const Training t(count);
        const DeviceArray<T> shadow(t.size());
        FlatBlock block = t.block();
        block.shadow = shadow.get();
        block.shadow_dtype = DTypeOf<T>::value;
        t.run(Rule::kSgd, block);
        EXPECT_TRUE(exactly(shadow.read(), t.params.doubles()));
    }
}
TEST(OptimizerKernel, ShadowIsTheRoundedParameter) {
    check_shadow<__half>();
    check_shadow<__nv_bfloat16>();
}

TEST(OptimizerKernel, GradientsAreUnscaled) {
    Training t(1100);
    std::vector<double> scaled = t.grads.inputs();
    for (double& g : scaled) {
        g *= 4096;
    }
    const DeviceArray<float> grads(scaled);
    const auto scale = DeviceArray<LossScale>::of({{.scale = 4096, .skipped = 2}});
    FlatBlock block = t.block();
    block.grads = grads.get();
    block.scale = scale.get();
    t.run(Rule::kAdam, block);
    // Two steps were skipped: step 4 is the third update.
    t.expect(Rule::kAdam, Training(1100, 2).want(Rule::kAdam, t.grads.inputs()));
    scale.expect_unchanged();
}

TEST(OptimizerKernel, OverflowSkipsTheUpdate) {
    for (const Rule rule : kRules) {
        const Training t(1100);
        const auto scale = DeviceArray<LossScale>::of({{.overflow = 1}});
        const auto shadow = DeviceArray<__half>(test::uniform(t.size(), 5));
        FlatBlock block = t.block();
        block.scale = scale.get();
        block.shadow = shadow.get();
        block.shadow_dtype = DType::kF16;
        t.run(rule, block);
        t.params.expect_unchanged();
        t.first.expect_unchanged();
        t.second.expect_unchanged();
        shadow.expect_unchanged();
    }
}

TEST(OptimizerKernel, SameBitsUnderEverySchedule) {
    for (const Rule rule : {Rule::kAdam, Rule::kNesterov}) {
        expect_same_bits_always([&] {
            const Training t(2500);
            t.run(rule, t.block());
            return t.params.read();
        });
    }
}

TEST(OptimizerKernel, RefusesWhatItCannotDo) {
    const Training t(8);
    EXPECT_THROW(sgd({.block = t.block(), .momentum = 0.9}, nullptr), UsageError);
    FlatBlock block = t.block();
    block.shadow = t.params.get();
    block.shadow_dtype = DType::kF32;
    EXPECT_THROW(t.run(Rule::kAdam, block), UsageError);
    block = t.block();
    block.count = std::int64_t{1} << 31;
    EXPECT_ANY_THROW(t.run(Rule::kAdam, block));
}

TEST(GradsCheckKernel, FindsWhatIsNotFinite) {
    for (const std::int64_t count : kCounts) {
        const std::vector<double> fine = test::uniform(static_cast<std::size_t>(count), 6);
        for (const double bad : {0.0, static_cast<double>(NAN), static_cast<double>(INFINITY), -HUGE_VAL}) {
            std::vector<double> values = fine;
            if (bad != 0 && count > 0) {
                values[values.size() * 2 / 3] = bad;
            }
            const DeviceArray<float> grads(values);
            const auto state = DeviceArray<LossScale>::of({LossScale{}});
            grads_check({.grads = grads.get(), .count = count, .state = state.get()}, nullptr);
            EXPECT_EQ(state.read()[0].overflow, bad != 0 && count > 0 ? 1u : 0u);
            grads.expect_unchanged();
        }
    }
}

TEST(LossScaleKernel, FollowsItsModel) {
    const auto state = DeviceArray<LossScale>::of({LossScale{.scale = 8}});
    LossScale model{.scale = 8};
    const RandomStream random(7, 0, 0);
    for (std::uint64_t step = 0; step < 400; ++step) {
        const bool overflow = random.uniform(step) < 0.2f;
        const auto bad = DeviceArray<float>::of({overflow ? INFINITY : 1.0f});
        grads_check({.grads = bad.get(), .count = 1, .state = state.get()}, nullptr);
        loss_scale_update({.state = state.get(), .interval = 4, .least = 1, .most = 64}, nullptr);
        if (overflow) {
            model.scale = std::max(model.scale / 2, 1.0f);
            model.good = 0;
            model.skipped += 1;
        } else if (++model.good == 4) {
            model.scale = std::min(model.scale * 2, 64.0f);
            model.good = 0;
        }
        const LossScale got = state.read()[0];
        ASSERT_EQ(got.scale, model.scale) << step;
        ASSERT_EQ(got.good, model.good) << step;
        ASSERT_EQ(got.skipped, model.skipped) << step;
        ASSERT_EQ(got.overflow, 0u) << step;
    }
}

TEST(EmaKernel, EqualsTheCpuBitForBit) {
    for (const std::int64_t count : kCounts) {
        const DeviceArray<float> w(test::uniform(static_cast<std::size_t>(count), 8)),
            average(test::uniform(static_cast<std::size_t>(count), 9));
        const test::Tensor in{{count}, w.inputs(), DType::kF32}, state{{count}, average.inputs(), DType::kF32};
        const auto want = test::run_reference(OpKind::kEma, ScalarAttrs{0.99f}, {in}, {state});
        ema({.w = w.get(), .average = average.get(), .count = count, .decay = 0.99f}, nullptr);
        EXPECT_TRUE(exactly(average.read(), want.state[0].values));
        w.expect_unchanged();
    }
}

// Early decays are (1 + t) / (10 + t), and steps that were no updates do not count.
TEST(EmaKernel, WarmsUpWithTheClock) {
    for (const auto& [step, held] : std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 0}, {7, 5}, {100000, 3}}) {
        SCOPED_TRACE(step);
        const DeviceArray<float> w(test::uniform(100, 8)), average(test::uniform(100, 9));
        const auto clock = DeviceArray<std::int64_t>::of({1, step, 2, held});
        const test::Tensor in{{100}, w.inputs(), DType::kF32}, state{{100}, average.inputs(), DType::kF32};
        const auto want = test::run_reference(OpKind::kEma, ScalarAttrs{0.99f},
                                              {in, {{kClockFields}, clock.inputs(), DType::kI64}}, {state});
        const double decay =
            std::min(0.99, (1.0 + static_cast<double>(step - held)) / (10.0 + static_cast<double>(step - held)));
        EXPECT_NEAR(want.state[0].values[0], decay * state.values[0] + (1 - decay) * in.values[0], 1e-6);
        ema({.w = w.get(), .average = average.get(), .count = 100, .decay = 0.99f, .clock = clock.get()}, nullptr);
        EXPECT_TRUE(exactly(average.read(), want.state[0].values));
        clock.expect_unchanged();
    }
}

}  // namespace
}  // namespace fer::FER_PORT

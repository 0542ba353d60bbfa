// Mixup.
#include "kernels/mixup.hpp"

#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

struct Blend {
    std::vector<float> y, share;
    std::vector<std::int32_t> partners;
};

struct Batch {
    Shape shape;
    DeviceArray<float> x;
    DeviceArray<std::int32_t> labels;
    DeviceArray<std::int64_t> clock;

    Batch(const Shape& s, std::int64_t step)
        : shape(s),
          x(test::uniform(static_cast<std::size_t>(s.count()), 1)),
          labels([&] {
              std::vector<double> values;
              for (std::int64_t i = 0; i < s[0]; ++i) {
                  values.push_back(static_cast<double>(3 * i % 7));
              }
              return values;
          }()),
          clock(DeviceArray<std::int64_t>::of({42, step, 5, 0})) {}

    Blend run(const MixupAttrs& attrs) const {
        const auto n = static_cast<std::size_t>(shape[0]);
        const DeviceArray<float> y(x.size()), share(n);
        const DeviceArray<std::int32_t> partners(n);
        mixup({.x = x.get(),
               .labels = labels.get(),
               .clock = clock.get(),
               .y = y.get(),
               .partners = partners.get(),
               .share = share.get(),
               .n = as_int(shape[0]),
               .pixels = as_int(shape[0] == 0 ? 0 : shape.count() / shape[0]),
               .alpha = attrs.alpha,
               .until = attrs.until,
               .stream = attrs.stream},
              nullptr);
        x.expect_unchanged();
        labels.expect_unchanged();
        clock.expect_unchanged();
        return {y.read(), share.read(), partners.read()};
    }
    test::OpResult want(const MixupAttrs& attrs) const {
        return test::run_reference(OpKind::kMixup, attrs,
                                   {{shape, x.inputs(), DType::kF32},
                                    {{shape[0]}, labels.inputs(), DType::kI32},
                                    {{kClockFields}, clock.inputs(), DType::kI64}});
    }
};

// The shares are double arithmetic rounded once: powers of another library may be off by a unit of it.
TEST(MixupKernel, MatchesReference) {
    for (const Shape& shape : {Shape{4, 48, 48, 1}, Shape{1, 3, 5, 1}, Shape{3, 1, 1, 1}, Shape{5, 33, 31, 1},
                               Shape{2, 7, 9, 3}, Shape{64, 2, 2, 1}, Shape{0, 4, 4, 1}}) {
        for (const MixupAttrs& attrs :
             {MixupAttrs{.alpha = 0.2f, .stream = 9}, MixupAttrs{.alpha = 1, .stream = 9},
              MixupAttrs{.alpha = 0.4f, .until = 8, .stream = 9}, MixupAttrs{.alpha = 0.4f, .until = 7, .stream = 9}}) {
            SCOPED_TRACE(fmt::format("{} alpha {} until {}", shape.str(), attrs.alpha, attrs.until));
            const Batch batch(shape, 7);
            const Blend got = batch.run(attrs);
            const test::OpResult want = batch.want(attrs);
#if defined(FER_EMULATED)
            EXPECT_TRUE(exactly(got.y, want.out[0].values));
            EXPECT_TRUE(exactly(got.share, want.out[2].values));
#else
            EXPECT_TRUE(test::close(got.share, want.out[2].values, test::float_steps(1)));
            EXPECT_TRUE(test::close(got.y, want.out[0].values, test::float_steps(4)));
#endif
            EXPECT_TRUE(exactly(got.partners, want.out[1].values));
            if (attrs.until == 7) {  // it is over: the batch stays as it is
                EXPECT_TRUE(exactly(got.y, batch.x.inputs()));
            }
        }
    }
}

TEST(MixupKernel, SameBitsUnderEverySchedule) {
    const Batch batch({3, 20, 20, 1}, 7);
    expect_same_bits_always([&] { return batch.run({.alpha = 0.5f, .stream = 9}).y; });
}

TEST(MixupKernel, RefusesWhatItCannotDo) {
    const Batch batch({1, 2, 2, 1}, 0);
    for (const float alpha : {0.0f, -1.0f, 1.5f}) {
        EXPECT_THROW(batch.run({.alpha = alpha}), UsageError) << alpha;
    }
}

}  // namespace
}  // namespace fer::FER_PORT

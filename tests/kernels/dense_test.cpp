// Dense layers against the double reference: integers bit for bit, other numbers within derived bounds.
#include "kernels/dense.hpp"

#include <gmock/gmock.h>

#include "tests/kernels/conv_cases.hpp"

namespace fer::FER_PORT {
namespace {

using test::small_integers;
using test::uniform;
using ::testing::Each;

/// (batch, features, units) in one arithmetic.
template <class T>
struct Layer {
    Layer(const Shape& s, Arithmetic how, bool are_integers)
        : n(as_int(s[0])),
          k(as_int(s[1])),
          m(as_int(s[2])),
          arithmetic(how),
          integers(are_integers),
          x(numbers({n, k}, 1)),
          w(numbers({k, m}, 2)),
          dy(numbers({n, m}, 3)),
          bias(numbers({m}, 4)) {}

    std::vector<double> numbers(const Shape& shape, std::uint64_t seed) const {
        const auto count = static_cast<std::size_t>(shape.count());
        return integers ? small_integers(count, seed) : uniform(count, seed);
    }
    void expect(const std::vector<double>& got, const std::vector<double>& want, const std::vector<double>& magnitudes,
                double terms) const {
        if (integers) {
            EXPECT_TRUE(test::close(got, rounded<T>(want), test::exact()));
        } else {
            EXPECT_TRUE(within<T>(got, want, magnitudes, terms, arithmetic));
        }
    }
    static DeviceArray<float> workspace_of(std::int64_t bytes) {
        return DeviceArray<float>(static_cast<std::size_t>(bytes / 4));
    }
    static DeviceArray<T> output(const Shape& shape) { return DeviceArray<T>(static_cast<std::size_t>(shape.count())); }

    std::vector<double> run_fwd(Activation activation, int splits) const {
        const auto y = output({n, m});
        Dense a{.x = x.get(),
                .w = w.get(),
                .bias = bias.get(),
                .y = y.get(),
                .n = n,
                .k = k,
                .m = m,
                .activation = activation,
                .dtype = dtype_of(arithmetic),
                .tf32 = arithmetic == Arithmetic::kTf32,
                .choice = {.splits = splits}};
        const auto workspace = workspace_of(dense_fwd_workspace(a));
        a.workspace = workspace.get();
        dense_fwd(a, nullptr);
        workspace.read();
        return y.doubles();
    }
    std::vector<double> run_dgrad(int splits) const {
        const auto dx = output({n, k});
        DenseDgrad a{.dy = dy.get(),
                     .w = w.get(),
                     .dx = dx.get(),
                     .n = n,
                     .k = k,
                     .m = m,
                     .dtype = dtype_of(arithmetic),
                     .tf32 = arithmetic == Arithmetic::kTf32,
                     .choice = {.splits = splits}};
        const auto workspace = workspace_of(dense_dgrad_workspace(a));
        a.workspace = workspace.get();
        dense_dgrad(a, nullptr);
        workspace.read();
        return dx.doubles();
    }
    /// dw and dbias.
    std::pair<std::vector<double>, std::vector<double>> run_wgrad(int splits) const {
        const auto dw = output({k, m});
        const DeviceArray<float> dbias(static_cast<std::size_t>(m));
        DenseWgrad a{.x = x.get(),
                     .dy = dy.get(),
                     .dw = dw.get(),
                     .dbias = dbias.get(),
                     .n = n,
                     .k = k,
                     .m = m,
                     .dtype = dtype_of(arithmetic),
                     .tf32 = arithmetic == Arithmetic::kTf32,
                     .choice = {.splits = splits}};
        const auto workspace = workspace_of(dense_wgrad_workspace(a));
        a.workspace = workspace.get();
        dense_wgrad(a, nullptr);
        workspace.read();
        return {dw.doubles(), dbias.doubles()};
    }

    void check_fwd(Activation activation, int splits = 0) const {
        const auto compute = [&](auto map, Activation act) {
            return reference(OpKind::kDense, DenseAttrs{.activation = static_cast<fer::Activation>(act)},
                             {{{n, k}, map(x.inputs())}, {{k, m}, map(w.inputs())}, {{m}, map(bias.inputs())}})[0];
        };
        const auto want = compute([](const auto& v) { return v; }, activation);
        expect(run_fwd(activation, splits), want, integers ? want : compute(absolute, Activation::kNone), 1.0 + k);
    }
    void check_dgrad(int splits = 0) const {
        const auto compute = [&](auto map) {
            return reference(OpKind::kDenseDgrad, DenseAttrs{},
                             {{{n, m}, map(dy.inputs())}, {{k, m}, map(w.inputs())}})[0];
        };
        const auto want = compute([](const auto& v) { return v; });
        expect(run_dgrad(splits), want, integers ? want : compute(absolute), m);
    }
    void check_wgrad(int splits = 0) const {
        const auto compute = [&](auto map) {
            return reference(OpKind::kDenseWgrad, DenseAttrs{.bias = true},
                             {{{n, k}, map(x.inputs())}, {{n, m}, map(dy.inputs())}});
        };
        const auto want = compute([](const auto& v) { return v; });
        const auto magnitudes = integers ? want : compute(absolute);
        const auto [dw, dbias] = run_wgrad(splits);
        expect(dw, want[0], magnitudes[0], n);
        EXPECT_TRUE(integers ? test::close(dbias, want[1], test::exact())
                             : within<float>(dbias, want[1], magnitudes[1], n, Arithmetic::kF32));
    }
    void expect_inputs_unchanged() const {
        x.expect_unchanged();
        w.expect_unchanged();
        dy.expect_unchanged();
        bias.expect_unchanged();
    }

    int n, k, m;
    Arithmetic arithmetic;
    bool integers;
    DeviceArray<T> x, w, dy;
    DeviceArray<float> bias;
};

/// The shapes every implementation is compared on, without those whose padded product is beyond 2^24 multiply-adds.
std::vector<Shape> shapes() {
    std::vector<Shape> all = test::dense_shapes();
    std::erase_if(all, [](const Shape& s) { return 64 * (s[1] + 64) * (s[2] + 64) > std::int64_t{1} << 24; });
    all.insert(all.end(), {{6, 520, 96}, {2, 1040, 128}, {129, 8, 8}, {1, 31, 32}, {2, 32, 33}});
    return all;
}

class DenseShapes : public ::testing::TestWithParam<Shape> {};

TEST_P(DenseShapes, IntegersAreExact) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        const Layer<T> layer(GetParam(), a, true);
        layer.check_fwd(Activation::kRelu);
        layer.check_dgrad();
        layer.check_wgrad();
        layer.expect_inputs_unchanged();
    });
}
TEST_P(DenseShapes, OtherNumbersAreClose) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        const Layer<T> layer(GetParam(), a, false);
        layer.check_fwd(Activation::kNone);
        layer.check_dgrad();
        layer.check_wgrad();
    });
}

INSTANTIATE_TEST_SUITE_P(Shapes, DenseShapes, ::testing::ValuesIn(shapes()), [](const auto& test) {
    return fmt::format("n{}k{}m{}", test.param[0], test.param[1], test.param[2]);
});

TEST(Dense, SplitSumsAreExact) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        for (const Shape& shape : {Shape{6, 256, 96}, Shape{70, 127, 7}}) {
            for (const int splits : {2, 3, 9}) {
                const Layer<T> layer(shape, a, true);
                layer.check_fwd(Activation::kRelu6, splits);
                layer.check_dgrad(splits);
                layer.check_wgrad(splits);
            }
        }
    });
}

TEST(Dense, SplitSumsAreSplitByThemselvesWhereTheBatchIsSmall) {
    const Dense a{.x = nullptr, .w = nullptr, .y = nullptr, .n = 64, .k = 12800, .m = 1024, .dtype = DType::kBF16};
    EXPECT_EQ(dense_fwd_plan(a).splits, 25);
    EXPECT_EQ(dense_fwd_workspace(a), 25 * 64 * 1024 * 4);
    const DenseWgrad gradient{
        .x = nullptr, .dy = nullptr, .dw = nullptr, .n = 64, .k = 12800, .m = 1024, .dtype = DType::kBF16};
    EXPECT_EQ(dense_wgrad_plan(gradient).splits, 1);
}

TEST(Dense, NanReachesExactlyTheResultsThatReadIt) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        const Layer<T> layer({5, 40, 7}, a, true);
        std::vector<double> values = layer.x.inputs();
        values[2 * 40 + 39] = NAN;
        const DeviceArray<T> x(values);
        const DeviceArray<T> y(5 * 7);
        dense_fwd({.x = x.get(),
                   .w = layer.w.get(),
                   .y = y.get(),
                   .n = 5,
                   .k = 40,
                   .m = 7,
                   .activation = Activation::kRelu6,
                   .dtype = dtype_of(a),
                   .tf32 = a == Arithmetic::kTf32},
                  nullptr);
        const DeviceArray<T> dw(40 * 7);
        dense_wgrad({.x = x.get(),
                     .dy = layer.dy.get(),
                     .dw = dw.get(),
                     .n = 5,
                     .k = 40,
                     .m = 7,
                     .dtype = dtype_of(a),
                     .tf32 = a == Arithmetic::kTf32},
                    nullptr);
        const auto got = y.doubles();
        for (std::size_t i = 0; i < got.size(); ++i) {
            EXPECT_EQ(std::isnan(got[i]), i / 7 == 2) << i;
        }
        const auto gradient = dw.doubles();
        for (std::size_t i = 0; i < gradient.size(); ++i) {
            EXPECT_EQ(std::isnan(gradient[i]), i / 7 == 39) << i;
        }
    });
}

TEST(Dense, NothingToDoIsNoLaunchAndEmptySumsAreZero) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        dense_fwd({.x = nullptr, .w = nullptr, .y = nullptr, .n = 0, .k = 8, .m = 8, .dtype = dtype_of(a)}, nullptr);
        dense_dgrad({.dy = nullptr, .w = nullptr, .dx = nullptr, .n = 3, .k = 0, .m = 8, .dtype = dtype_of(a)},
                    nullptr);
        const auto [dw, dbias] = Layer<T>({0, 8, 8}, a, true).run_wgrad(0);
        EXPECT_THAT(dw, Each(0.0));
        EXPECT_THAT(dbias, Each(0.0));
        const Layer<T> no_features({3, 0, 8}, a, true);
        no_features.check_fwd(Activation::kNone);
        no_features.check_wgrad();
        EXPECT_THAT(Layer<T>({3, 8, 0}, a, true).run_dgrad(0), Each(0.0));
    });
}

TEST(Dense, SameBitsUnderEverySchedule) {
    for_arithmetics([&]<class T>(T, Arithmetic a) {
        const Layer<T> layer({5, 200, 24}, a, false);
        expect_same_bits_always([&] { return layer.run_fwd(Activation::kRelu, 3); });
        expect_same_bits_always([&] { return layer.run_dgrad(2); });
        expect_same_bits_always([&] { return layer.run_wgrad(0).first; });
    });
}

}  // namespace
}  // namespace fer::FER_PORT

// oneDNN against the reference, op by op: bit for bit on small integers whose sums float32 holds, and within derived
// bounds where there is a division or a root.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/op_runner.hpp"
#include "tests/support/shapes.hpp"
#include "tests/support/threads.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {
namespace {

/// Every implementation of one op against the reference on the same numbers. Some implementation of oneDNN must accept;
/// those that do must agree.
class Pair {
public:
    Pair(OpKind kind, const Attributes& attrs, const std::vector<Tensor>& in, const std::vector<Tensor>& state = {}) {
        const OpDesc op = describe_op(kind, attrs, in, state);
        for (const Implementation& candidate : cpu_device().implementations(kind)) {
            const Refusal refusal = candidate.refuses == nullptr ? std::nullopt : candidate.refuses(op);
            if (!refusal) {
                results_.emplace_back(candidate.name, run_op(op, candidate, in, state));
            }
        }
    }

    void expect(const Tolerance& tolerance, bool refused = false) const {
        EXPECT_EQ(results_.size() == 1, refused) << "whether nothing but the reference accepts";
        for (const auto& [name, got] : results_) {
            for (std::size_t i = 0; i < want().out.size(); ++i) {
                EXPECT_TRUE(close(got.out[i].values, want().out[i].values, tolerance)) << name << ", output " << i;
            }
            for (std::size_t i = 0; i < want().state.size(); ++i) {
                EXPECT_TRUE(close(got.state[i].values, want().state[i].values, tolerance)) << name << ", state " << i;
            }
        }
    }
    /// The reference's, which accepts everything and is the last.
    const OpResult& want() const { return results_.back().second; }

private:
    std::vector<std::pair<std::string_view, OpResult>> results_;
};

class OneDnn : public ::testing::Test {
    const Threads one_{1};
};

Shape conv_output(const Tensor& x, const Tensor& w, const ConvAttrs& attrs, OpKind kind) {
    return describe_op(kind, attrs, {x, w}).out[0].shape;
}

/// The weight gradient of strided pixels whose channels do not fill vectors is left to the reference.
bool changes_its_bits(const ConvShape& s) { return s.kernel == 1 && s.stride > 1 && s.c % 16 != 0; }

TEST_F(OneDnn, Conv2dIsExactOnIntegers) {
    for (const ConvShape& s : conv_shapes()) {
        SCOPED_TRACE(s.str());
        const Tensor x = integer_tensor({s.n, s.h, s.w, s.c}, 1);
        const Tensor w = integer_tensor({s.kernel, s.kernel, s.c, s.k}, 2);
        const Tensor b = integer_tensor({s.k}, 3);
        ConvAttrs attrs{.stride = s.stride, .padding = s.padding};
        const Tensor dy = integer_tensor(conv_output(x, w, attrs, OpKind::kConv2d), 4);
        Pair(OpKind::kConv2d, attrs, {x, w}).expect(exact());
        ConvAttrs data = attrs;
        data.input = x.shape;
        Pair(OpKind::kConv2dDgrad, data, {dy, w}).expect(exact());
        ConvAttrs weights = attrs;
        weights.kernel = w.shape;
        Pair(OpKind::kConv2dWgrad, weights, {x, dy}).expect(exact(), changes_its_bits(s));
        weights.bias = true;
        Pair(OpKind::kConv2dWgrad, weights, {x, dy}).expect(exact(), changes_its_bits(s));
        for (const Activation a : {Activation::kNone, Activation::kRelu, Activation::kRelu6}) {
            attrs.activation = a;
            Pair(OpKind::kConv2d, attrs, {x, w, b}).expect(exact());
            const Tensor residual = integer_tensor(dy.shape, 5);
            Pair(OpKind::kConv2d, attrs, {x, w, b, residual}).expect(exact());
        }
    }
}

TEST_F(OneDnn, DepthwiseConvIsExactOnIntegers) {
    for (const ConvShape& s : conv_shapes()) {
        SCOPED_TRACE(s.str());
        const Tensor x = integer_tensor({s.n, s.h, s.w, s.c}, 1);
        const Tensor w = integer_tensor({s.kernel, s.kernel, s.c, 1}, 2);
        const ConvAttrs attrs{.stride = s.stride, .padding = s.padding};
        const Tensor dy = integer_tensor(conv_output(x, w, attrs, OpKind::kDepthwiseConv), 4);
        Pair(OpKind::kDepthwiseConv, attrs, {x, w}).expect(exact());
        const Tensor b = integer_tensor({s.c}, 3);
        for (const Activation a : {Activation::kNone, Activation::kRelu, Activation::kRelu6}) {
            ConvAttrs active = attrs;
            active.activation = a;
            Pair(OpKind::kDepthwiseConv, active, {x, w, b}).expect(exact());
        }
        ConvAttrs data = attrs;
        data.input = x.shape;
        Pair(OpKind::kDepthwiseDgrad, data, {dy, w}).expect(exact());
        ConvAttrs weights = attrs;
        weights.kernel = w.shape;
        Pair(OpKind::kDepthwiseWgrad, weights, {x, dy}).expect(exact());
    }
}

TEST_F(OneDnn, ConvolutionsOfFractionsStayWithinTheBound) {
    for (const ConvShape& s : conv_shapes()) {
        SCOPED_TRACE(s.str());
        const Tensor x = random_tensor({s.n, s.h, s.w, s.c}, 1);
        const Tensor w = random_tensor({s.kernel, s.kernel, s.c, s.k}, 2);
        const ConvAttrs attrs{.stride = s.stride, .padding = s.padding};
        Pair(OpKind::kConv2d, attrs, {x, w}).expect(float_sum(s.kernel * s.kernel * s.c));
        ConvAttrs weights = attrs;
        weights.kernel = w.shape;
        const Tensor dy = random_tensor(conv_output(x, w, attrs, OpKind::kConv2d), 4);
        Pair(OpKind::kConv2dWgrad, weights, {x, dy}).expect(float_sum(dy.shape.count() / s.k), changes_its_bits(s));
    }
}

TEST_F(OneDnn, DenseIsExactOnIntegers) {
    for (const Shape& s : dense_shapes()) {
        SCOPED_TRACE(s.str());
        const Tensor x = integer_tensor({s[0], s[1]}, 1), w = integer_tensor({s[1], s[2]}, 2);
        const Tensor b = integer_tensor({s[2]}, 3), dy = integer_tensor({s[0], s[2]}, 4);
        Pair(OpKind::kDense, DenseAttrs{}, {x, w}).expect(exact());
        for (const Activation a : {Activation::kNone, Activation::kRelu, Activation::kRelu6}) {
            Pair(OpKind::kDense, DenseAttrs{a}, {x, w, b}).expect(exact());
        }
        Pair(OpKind::kDenseDgrad, DenseAttrs{}, {dy, w}).expect(exact());
        Pair(OpKind::kDenseWgrad, DenseAttrs{}, {x, dy}).expect(exact());
        Pair(OpKind::kDenseWgrad, DenseAttrs{.bias = true}, {x, dy}).expect(exact());
    }
}

// Values and places of the winners: on distinct values and on integers full of ties, where the first one wins.
TEST_F(OneDnn, MaxPoolFindsTheSameWinners) {
    for (const PoolShape& s : pool_shapes()) {
        SCOPED_TRACE(s.str());
        PoolAttrs attrs{s.window, s.stride, s.padding, {}};
        for (const bool ties : {false, true}) {
            const Tensor x = ties ? integer_tensor(s.x, 1) : Tensor{s.x, away_from_kinks(count_of(s.x), 2)};
            const Pair forward(OpKind::kMaxPool, attrs, {x});
            forward.expect(exact());
            const Tensor dy = integer_tensor(forward.want().out[0].shape, 3);
            PoolAttrs back = attrs;
            back.input = s.x;
            Pair(OpKind::kMaxPoolGrad, back, {dy, forward.want().out[1]}).expect(exact());
        }
    }
}

TEST_F(OneDnn, AvgPoolAgrees) {
    for (const PoolShape& s : pool_shapes()) {
        SCOPED_TRACE(s.str());
        PoolAttrs attrs{s.window, s.stride, s.padding, {}};
        const std::int64_t places = std::int64_t{s.window} * s.window;
        const Tensor x = integer_tensor(s.x, 1);
        const Pair forward(OpKind::kAvgPool, attrs, {x});
        forward.expect(float_sum(1));  // the sum is exact, the division rounds
        const Tensor dy = integer_tensor(describe_op(OpKind::kAvgPool, attrs, {x}).out[0].shape, 3);
        attrs.input = s.x;
        Pair(OpKind::kAvgPoolGrad, attrs, {dy}).expect(float_sum(places, 4));
    }
}

// Numbers of size 1: a mean, a variance and xhat carry the roundings of a sum of `rows` terms; inv_std is at most
// 1/sqrt(epsilon) = 31.6, and reaches that only where the variance is 0 and what it multiplies is 0 too.
TEST_F(OneDnn, BatchNormAgrees) {
    const BatchNormAttrs attrs{};
    for (const Shape& s : batch_norm_shapes()) {
        SCOPED_TRACE(s.str());
        const Shape c{s.back()};
        const std::int64_t rows = s.count() / s.back();
        const Tensor x = random_tensor(s, 1), gamma = random_tensor(c, 2, 0.5, 1.5), beta = random_tensor(c, 3);
        const Tensor dy = random_tensor(s, 4), mean = random_tensor(c, 5), variance = random_tensor(c, 6, 0.5, 1.5);
        const Pair forward(OpKind::kBatchNorm, attrs, {x, gamma, beta}, {mean, variance});
        forward.expect(float_sum(rows + 16, 4));
        const Tensor& batch_mean = forward.want().out[1];
        const Tensor& batch_variance = forward.want().out[2];
        Pair(OpKind::kBatchNormGrad, attrs, {dy, x, gamma, batch_mean, batch_variance})
            .expect(float_sum(rows + 16, rows < 4 ? 32 : 4));
        Pair(OpKind::kBatchNormInference, attrs, {x, gamma, beta, mean, variance}).expect(float_steps(16, 4));
        BatchNormAttrs active = attrs;
        active.activation = Activation::kRelu;
        Pair(OpKind::kBatchNormInference, active, {x, gamma, beta, mean, variance}).expect(float_steps(16, 4));
    }
}

TEST_F(OneDnn, RefusalsAreSentences) {
    const Tensor x = integer_tensor({1, 4, 4, 2}, 1).as_type(DType::kF64);
    const Tensor w = integer_tensor({3, 3, 2, 2}, 2).as_type(DType::kF64);
    const auto refusal = [](OpKind kind, const OpDesc& op) { return cpu_implementation(kind, "onednn").refuses(op); };
    EXPECT_EQ(refusal(OpKind::kConv2d, describe_op(OpKind::kConv2d, ConvAttrs{}, {x, w})),
              "oneDNN computes in float32");
    EXPECT_EQ(refusal(OpKind::kMaxPool, describe_op(OpKind::kMaxPool, PoolAttrs{}, {x})), "oneDNN computes in float32");
    const Tensor dy = integer_tensor({1, 2, 2, 2}, 1), w32 = w.as_type(DType::kF32);
    const ConvAttrs stride2{.stride = 2, .input = {1, 4, 4, 2}};
    EXPECT_EQ(cpu_implementation(OpKind::kConv2dDgrad, "onednn_turned")
                  .refuses(describe_op(OpKind::kConv2dDgrad, stride2, {dy, w32})),
              "stride is not 1");
    const Tensor rows = integer_tensor({11, 4}, 1), dense = integer_tensor({3, 4}, 2);
    EXPECT_EQ(cpu_implementation(OpKind::kDenseDgrad, "onednn_matmul")
                  .refuses(describe_op(OpKind::kDenseDgrad, DenseAttrs{}, {rows, dense})),
              "below 12 rows the gradient's own primitive is faster");
    const auto strided_pixel = [&](std::int64_t channels) {
        const ConvAttrs attrs{.stride = 2, .kernel = {1, 1, channels, 4}};
        return refusal(OpKind::kConv2dWgrad,
                       describe_op(OpKind::kConv2dWgrad, attrs,
                                   {integer_tensor({1, 4, 4, channels}, 1), integer_tensor({1, 2, 2, 4}, 2)}));
    };
    EXPECT_THAT(strided_pixel(8).value_or(""), ::testing::HasSubstr("depend on the threads' timing"));
    EXPECT_EQ(strided_pixel(16), std::nullopt);
    const Tensor none = integer_tensor({0, 4}, 1), kernel = integer_tensor({4, 2}, 2);
    EXPECT_EQ(refusal(OpKind::kDense, describe_op(OpKind::kDense, DenseAttrs{}, {none, kernel})), "empty tensor");
}

// Every oneDNN implementation is in a test above.
TEST_F(OneDnn, NoImplementationIsUntested) {
    std::vector<std::string> names;
    for (const OpSpec& row : all_ops()) {
        const auto list = cpu_device().implementations(row.kind);
        if (list.size() > 1) {
            names.emplace_back(row.name);
            EXPECT_TRUE(list.front().name.starts_with("onednn"));
            EXPECT_EQ(list.back().name, "reference");
        }
    }
    EXPECT_THAT(names, ::testing::ElementsAre("conv2d", "depthwise_conv", "dense", "batch_norm", "batch_norm_inference",
                                              "max_pool", "avg_pool", "conv2d_dgrad", "conv2d_wgrad", "depthwise_dgrad",
                                              "depthwise_wgrad", "dense_dgrad", "dense_wgrad", "batch_norm_grad",
                                              "max_pool_grad", "avg_pool_grad"));
}

}  // namespace
}  // namespace fer::test

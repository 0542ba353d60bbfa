// One list of gradient cases per op row. A row with a gradient rule must have cases; a row without must be named in
// kNoGradient: a new row fails the suite until somebody decides.
#pragma once

#include <vector>

#include "tests/support/gradcheck.hpp"

namespace fer::test {

inline const std::set<OpKind> kNoGradient{
    // data: integers in, nothing trained before them
    OpKind::kGather, OpKind::kAugment, OpKind::kRescale, OpKind::kStandardize, OpKind::kResize, OpKind::kGrayToRgb,
    OpKind::kImageBatch, OpKind::kImageConv, OpKind::kMixup, OpKind::kConstant,
    // gradients: nobody differentiates twice
    OpKind::kConv2dDgrad, OpKind::kConv2dWgrad, OpKind::kDepthwiseDgrad, OpKind::kDepthwiseWgrad, OpKind::kDenseDgrad,
    OpKind::kDenseWgrad, OpKind::kBiasGrad, OpKind::kBatchNormGrad, OpKind::kBatchNormPoolGrad, OpKind::kReluGrad,
    OpKind::kRelu6Grad, OpKind::kSoftmaxGrad, OpKind::kSoftmaxXentGrad, OpKind::kMaxPoolGrad, OpKind::kAvgPoolGrad,
    OpKind::kGlobalAvgPoolGrad, OpKind::kCrop, OpKind::kL2Grad,
    // updates
    OpKind::kSchedule, OpKind::kAccumulate, OpKind::kClipGradients, OpKind::kAdam, OpKind::kSgd, OpKind::kRmsProp,
    OpKind::kEma, OpKind::kLossScale, OpKind::kCheckGradients, OpKind::kUpdateLossScale, OpKind::kMetrics,
    OpKind::kAdvance};

inline std::vector<GradientCase> conv_cases(bool depthwise) {
    struct Row {
        std::int64_t h, w, kernel;
        int stride;
        Padding padding;
    };
    constexpr auto kSame = Padding::kSame;
    constexpr auto kValid = Padding::kValid;
    const Row rows[] = {{4, 5, 1, 1, kSame},  {5, 4, 1, 2, kValid}, {3, 3, 2, 1, kSame},  {5, 3, 2, 2, kSame},
                        {4, 5, 2, 2, kValid}, {5, 4, 3, 1, kSame},  {4, 4, 3, 2, kSame},  {5, 5, 3, 2, kSame},
                        {5, 6, 3, 1, kValid}, {6, 5, 3, 2, kValid}, {2, 3, 5, 1, kSame},  {6, 5, 5, 2, kSame},
                        {5, 5, 5, 1, kValid}, {7, 6, 3, 3, kSame},  {7, 5, 2, 3, kValid}, {1, 1, 3, 1, kSame}};
    std::vector<GradientCase> cases;
    for (const Row& r : rows) {
        const std::int64_t in = depthwise ? 3 : 2;
        const ConvAttrs attrs{.stride = r.stride, .padding = r.padding};
        cases.push_back(
            {fmt::format("h{}w{}k{}s{}{}", r.h, r.w, r.kernel, r.stride, r.padding == kSame ? "same" : "valid"),
             depthwise ? OpKind::kDepthwiseConv : OpKind::kConv2d,
             attrs,
             {{{2, r.h, r.w, in}}, {{r.kernel, r.kernel, in, depthwise ? 1 : 3}}}});
    }
    return cases;
}

inline std::vector<GradientCase> conv2d_cases() {
    std::vector<GradientCase> cases = conv_cases(false);
    const auto add = [&](const char* name, const ConvAttrs& attrs, const Shape& kernel, bool frozen_input) {
        cases.push_back({name,
                         OpKind::kConv2d,
                         attrs,
                         {{{2, 4, 5, kernel[2]}, Fill::kHalves, !frozen_input},
                          {kernel, Fill::kHalves},
                          {{kernel[3]}, Fill::kOddEighths}}});
    };
    add("bias", {}, {3, 3, 2, 3}, false);
    add("bias_stride2_valid", {.stride = 2, .padding = Padding::kValid}, {3, 3, 2, 2}, false);
    add("bias_relu", {.activation = Activation::kRelu}, {3, 3, 2, 3}, false);
    add("bias_relu6", {.activation = Activation::kRelu6}, {2, 2, 2, 3}, false);
    add("bias_relu_stride2", {.stride = 2, .activation = Activation::kRelu}, {5, 5, 1, 2}, false);
    add("bias_relu_frozen_input", {.activation = Activation::kRelu}, {3, 3, 1, 4}, true);
    add("oblong_kernel", {}, {1, 3, 2, 2}, false);
    for (const Activation activation : {Activation::kNone, Activation::kRelu}) {
        cases.push_back({fmt::format("residual activation {}", static_cast<int>(activation)),
                         OpKind::kConv2d,
                         ConvAttrs{.activation = activation},
                         {{{2, 4, 5, 2}, Fill::kHalves},
                          {{3, 3, 2, 3}, Fill::kHalves},
                          {{3}, Fill::kOddEighths},
                          {{2, 4, 5, 3}, Fill::kHalves}}});
    }
    return cases;
}

inline std::vector<GradientCase> dense_cases() {
    std::vector<GradientCase> cases;
    for (const Shape& s : {Shape{1, 1, 1}, Shape{3, 5, 4}, Shape{7, 2, 3}, Shape{2, 13, 1}}) {
        const std::string name = fmt::format("n{}i{}o{}", s[0], s[1], s[2]);
        cases.push_back({name, OpKind::kDense, DenseAttrs{}, {{{s[0], s[1]}}, {{s[1], s[2]}}}});
        cases.push_back({name + "_bias", OpKind::kDense, DenseAttrs{}, {{{s[0], s[1]}}, {{s[1], s[2]}}, {{s[2]}}}});
        for (const Activation a : {Activation::kRelu, Activation::kRelu6}) {
            cases.push_back(
                {name + (a == Activation::kRelu ? "_relu" : "_relu6"),
                 OpKind::kDense,
                 DenseAttrs{a},
                 {{{s[0], s[1]}, Fill::kHalves}, {{s[1], s[2]}, Fill::kHalves}, {{s[2]}, Fill::kOddEighths}}});
        }
    }
    return cases;
}

inline std::vector<GradientCase> pool_cases(OpKind kind) {
    std::vector<GradientCase> cases;
    for (const auto& [h, w] : {std::pair{4, 4}, std::pair{5, 7}, std::pair{6, 5}}) {
        for (const auto& [window, stride] : {std::pair{2, 2}, std::pair{3, 2}, std::pair{3, 1}, std::pair{2, 3}}) {
            for (const Padding padding : {Padding::kSame, Padding::kValid}) {
                cases.push_back(
                    {fmt::format("h{}w{}k{}s{}{}", h, w, window, stride, padding == Padding::kSame ? "same" : ""),
                     kind,
                     PoolAttrs{window, stride, padding, {}},
                     {{{2, h, w, 2}, Fill::kAwayFromKinks}}});
            }
        }
    }
    return cases;
}

inline std::vector<GradientCase> batch_norm_cases(bool inference) {
    std::vector<GradientCase> cases;
    for (const Shape& x : {Shape{2, 3, 2, 3}, Shape{1, 2, 2, 1}, Shape{3, 1, 1, 2}, Shape{2, 4, 5, 2}, Shape{5, 3},
                           Shape{2, 4}, Shape{7, 1}}) {
        const Shape c{x.back()};
        for (const double epsilon : {1e-3, 0.1}) {
            const BatchNormAttrs attrs{.momentum = 0.9, .epsilon = epsilon};
            const std::string name = fmt::format("{} eps {}", x.str(), epsilon);
            if (inference) {
                cases.push_back({name,
                                 OpKind::kBatchNormInference,
                                 attrs,
                                 {{x},
                                  {c, Fill::kRandom, false},
                                  {c, Fill::kRandom, false},
                                  {c, Fill::kRandom, false},
                                  {c, Fill::kPositive, false}}});
            } else {
                cases.push_back({name, OpKind::kBatchNorm, attrs, {{x}, {c}, {c}}, {{c}, {c, Fill::kPositive}}});
            }
            if (x.count() < 15) {  // an activation might let nothing through, and then nothing shows a wrong gradient
                continue;
            }
            for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kRelu6}) {
                BatchNormAttrs fused = attrs;
                fused.activation = activation;
                const std::string with = fmt::format("{} activation {} ", name, static_cast<int>(activation));
                if (inference) {
                    cases.push_back({with + "and residual",
                                     OpKind::kBatchNormInference,
                                     fused,
                                     {{x},
                                      {c, Fill::kRandom, false},
                                      {c, Fill::kRandom, false},
                                      {c, Fill::kRandom, false},
                                      {c, Fill::kPositive, false},
                                      {x}}});
                    continue;
                }
                const std::vector<CaseInput> moving{{c}, {c, Fill::kPositive}};
                cases.push_back({with, OpKind::kBatchNorm, fused, {{x}, {c}, {c}}, moving});
                cases.push_back({with + "and residual", OpKind::kBatchNorm, fused, {{x}, {c}, {c}, {x}}, moving});
            }
        }
    }
    return cases;
}

inline std::vector<GradientCase> batch_norm_pool_cases() {
    std::vector<GradientCase> cases;
    for (const Shape& x : {Shape{2, 4, 6, 2}, Shape{3, 5, 5, 3}}) {
        const Shape c{x.back()};
        for (const Activation activation : {Activation::kNone, Activation::kRelu}) {
            cases.push_back({fmt::format("{} activation {}", x.str(), static_cast<int>(activation)),
                             OpKind::kBatchNormPool,
                             BatchNormAttrs{.momentum = 0.9, .activation = activation},
                             {{x}, {c}, {c}},
                             {{c}, {c, Fill::kPositive}}});
        }
    }
    return cases;
}

/// A gradient that weights pass through on their way into a convolution: linear, so it has one of its own.
inline std::vector<GradientCase> scaling_cases() {
    std::vector<GradientCase> cases;
    for (const Shape& x : {Shape{2, 3, 2, 3}, Shape{5, 4}, Shape{3}}) {
        const Shape c{x.back()};
        cases.push_back({x.str(),
                         OpKind::kBatchNormInferenceGrad,
                         BatchNormAttrs{.epsilon = 0.1},
                         {{x}, {c, Fill::kRandom, false}, {c, Fill::kPositive, false}}});
    }
    return cases;
}

inline std::vector<GradientCase> elementwise_cases(OpKind kind) {
    std::vector<GradientCase> cases;
    for (const Shape& x : {Shape{1}, Shape{7, 16}, Shape{2, 3, 5, 3}, Shape{1, 1, 1, 5}}) {
        cases.push_back({x.str(), kind, NoAttrs{}, {{x, Fill::kAwayFromKinks}}});
    }
    return cases;
}

inline std::vector<GradientCase> xent_cases() {
    std::vector<GradientCase> cases;
    for (const std::int64_t n : {1, 3, 8}) {
        for (const std::int64_t classes : {4, 7}) {
            for (const float smoothing : {0.0f, 0.1f, 0.3f}) {
                cases.push_back({fmt::format("n{}c{} smoothing {}", n, classes, smoothing),
                                 OpKind::kSoftmaxXent,
                                 XentAttrs{smoothing},
                                 {{{n, classes}}, {{n}, Fill::kLabels, false}, {{classes}, Fill::kPositive, false}}});
                cases.push_back({fmt::format("mixed n{}c{} smoothing {}", n, classes, smoothing),
                                 OpKind::kSoftmaxXent,
                                 XentAttrs{smoothing},
                                 {{{n, classes}},
                                  {{n}, Fill::kLabels, false},
                                  {{classes}, Fill::kPositive, false},
                                  {{n}, Fill::kPartners, false},
                                  {{n}, Fill::kShares, false}}});
            }
        }
    }
    return cases;
}

inline std::vector<GradientCase> add_cases() {
    const Shape x{2, 3, 2, 2};
    return {{"two", OpKind::kAdd, NoAttrs{}, {{x}, {x}}},
            {"three", OpKind::kAdd, NoAttrs{}, {{x}, {x}, {x}}},
            {"one_frozen", OpKind::kAdd, NoAttrs{}, {{x}, {x, Fill::kRandom, false}}},
            {"same_value_twice", OpKind::kAdd, NoAttrs{}, {{x}}, {}, {0, 0}},
            {"twice_and_another", OpKind::kAdd, NoAttrs{}, {{x}, {x}}, {}, {0, 1, 0}},
            {"vectors", OpKind::kAdd, NoAttrs{}, {{{5, 3}}, {{5, 3}}}}};
}

inline std::vector<GradientCase> dropout_cases() {
    std::vector<GradientCase> cases;
    for (const float rate : {0.0f, 0.25f, 0.5f, 0.9f}) {
        for (const Shape& x : {Shape{4, 9}, Shape{2, 3, 3, 4}}) {
            cases.push_back({fmt::format("rate {} {}", rate, x.str()),
                             OpKind::kDropout,
                             DropoutAttrs{rate, 17},
                             {{x}, {{kClockFields}, Fill::kClock, false}}});
        }
    }
    return cases;
}

inline std::vector<GradientCase> zero_pad_cases() {
    std::vector<GradientCase> cases;
    for (const PadAttrs& pad :
         {PadAttrs{1, 1, 1, 1}, PadAttrs{0, 1, 0, 1}, PadAttrs{3, 0, 2, 1}, PadAttrs{0, 0, 0, 0}}) {
        cases.push_back({fmt::format("{} {} {} {}", pad.top, pad.bottom, pad.left, pad.right),
                         OpKind::kZeroPad,
                         pad,
                         {{{2, 3, 4, 2}}}});
    }
    return cases;
}

inline std::vector<GradientCase> gradient_cases(OpKind kind) {
    const Shape image{2, 3, 4, 3};
    switch (kind) {
        case OpKind::kConv2d:
            return conv2d_cases();
        case OpKind::kDepthwiseConv:
            return conv_cases(true);
        case OpKind::kDense:
            return dense_cases();
        case OpKind::kBias:
            return {{"image", kind, NoAttrs{}, {{image}, {{3}}}},
                    {"vector", kind, NoAttrs{}, {{{5, 4}}, {{4}}}},
                    {"frozen_input", kind, NoAttrs{}, {{{2, 2}, Fill::kRandom, false}, {{2}}}}};
        case OpKind::kBatchNorm:
            return batch_norm_cases(false);
        case OpKind::kBatchNormPool:
            return batch_norm_pool_cases();
        case OpKind::kBatchNormInference:
            return batch_norm_cases(true);
        case OpKind::kBatchNormInferenceGrad:
            return scaling_cases();
        case OpKind::kRelu:
        case OpKind::kRelu6:
            return elementwise_cases(kind);
        case OpKind::kSoftmax:
            return {{"n1c2", kind, NoAttrs{}, {{{1, 2}}}},
                    {"n3c7", kind, NoAttrs{}, {{{3, 7}}}},
                    {"n5c3", kind, NoAttrs{}, {{{5, 3}}}}};
        case OpKind::kSoftmaxXent:
            return xent_cases();
        case OpKind::kMaxPool:
        case OpKind::kAvgPool:
            return pool_cases(kind);
        case OpKind::kGlobalAvgPool:
            return {{"image", kind, NoAttrs{}, {{image}}},
                    {"pixel", kind, NoAttrs{}, {{{3, 1, 1, 5}}}},
                    {"odd", kind, NoAttrs{}, {{{1, 5, 3, 2}}}}};
        case OpKind::kZeroPad:
            return zero_pad_cases();
        case OpKind::kAdd:
            return add_cases();
        case OpKind::kFlatten:
            return {{"image", kind, NoAttrs{}, {{image}}}, {"vector", kind, NoAttrs{}, {{{4, 3}}}}};
        case OpKind::kUnflatten:
            return {{"image", kind, ShapeAttrs{{2, 2, 3, 2}}, {{{2, 12}}}},
                    {"pixel", kind, ShapeAttrs{{3, 1, 1, 5}}, {{{3, 5}}}}};
        case OpKind::kDropout:
            return dropout_cases();
        case OpKind::kL2Penalty:
            return {{"one", kind, ScalarAttrs{0.01f}, {{{3, 3, 2, 2}}}},
                    {"two_shapes", kind, ScalarAttrs{0.5f}, {{{5, 4}}, {{1, 1, 2, 3}}}},
                    {"one_frozen", kind, ScalarAttrs{0.5f}, {{{5, 4}}, {{3}, Fill::kRandom, false}}}};
        case OpKind::kCast:
            return {{"f64", kind, CastAttrs{DType::kF64}, {{image}}},
                    {"vector", kind, CastAttrs{DType::kF64}, {{{3}}}}};
        default:
            return {};
    }
}

}  // namespace fer::test

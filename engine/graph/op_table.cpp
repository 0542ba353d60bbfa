#include "engine/graph/op_table.hpp"

#include <array>

#include "engine/graph/rules.hpp"

namespace fer {
namespace {

using enum OpKind;
using namespace rules;
constexpr auto kNone = Traits::kNone;
constexpr auto kView = Traits::kView;
constexpr auto kInPlace = Traits::kInPlace;

// clang-format off
constexpr std::array kOps{
    //     kind                     name                      outputs           shape                            gradient                   flops                  memory
    OpSpec{kGather,                 "gather",                 "x labels",       infer_gather,                    nullptr,                   nullptr,               kNone},
    OpSpec{kAugment,                "augment",                "y",              infer_augment,                   nullptr,                   nullptr,               kNone},
    OpSpec{kRescale,                "rescale",                "y",              infer_to_float,                  nullptr,                   nullptr,               kNone},
    OpSpec{kStandardize,            "standardize",            "y",              infer_to_float,                  nullptr,                   nullptr,               kNone},
    OpSpec{kResize,                 "resize",                 "y",              infer_resize,                    nullptr,                   nullptr,               kNone},
    OpSpec{kGrayToRgb,              "gray_to_rgb",            "y",              infer_gray_to_rgb,               nullptr,                   nullptr,               kNone},
    OpSpec{kImageBatch,             "image_batch",            "x labels",       infer_image_batch,               nullptr,                   nullptr,               kNone},
    OpSpec{kImageConv,              "image_conv",             "x labels y mean variance", infer_image_conv,      nullptr,                   flops_image_conv,      kNone},
    OpSpec{kMixup,                  "mixup",                  "y partners share", infer_mixup,                   nullptr,                   nullptr,               kNone},
    OpSpec{kConv2d,                 "conv2d",                 "y mean variance", infer_conv2d,                   grad_conv2d,               flops_conv2d,          kNone},
    OpSpec{kDepthwiseConv,          "depthwise_conv",         "y",              infer_depthwise_conv,            grad_depthwise_conv,       flops_depthwise,       kNone},
    OpSpec{kDense,                  "dense",                  "y",              infer_dense,                     grad_dense,                flops_dense,           kNone},
    OpSpec{kBias,                   "bias",                   "y",              infer_bias,                      grad_bias,                 nullptr,               kInPlace},
    OpSpec{kBatchNorm,              "batch_norm",             "y mean variance", infer_batch_norm,                grad_batch_norm,           nullptr,               kNone},
    OpSpec{kBatchNormPool,          "batch_norm_pool",        "p argmax mean variance", infer_batch_norm_pool,   grad_batch_norm_pool,      nullptr,               kNone},
    OpSpec{kBatchNormInference,     "batch_norm_inference",   "y",              infer_batch_norm_inference,      grad_batch_norm_inference, nullptr,               kInPlace},
    OpSpec{kRelu,                   "relu",                   "y",              infer_same,                      grad_relu,                 nullptr,               kInPlace},
    OpSpec{kRelu6,                  "relu6",                  "y",              infer_same,                      grad_relu6,                nullptr,               kInPlace},
    OpSpec{kSoftmax,                "softmax",                "y",              infer_softmax,                   grad_softmax,              nullptr,               kInPlace},
    OpSpec{kSoftmaxXent,            "softmax_xent",           "loss p hits dx", infer_softmax_xent,              grad_softmax_xent,         nullptr,               kNone},
    OpSpec{kMaxPool,                "max_pool",               "y argmax",       infer_max_pool,                  grad_max_pool,             nullptr,               kNone},
    OpSpec{kAvgPool,                "avg_pool",               "y",              infer_avg_pool,                  grad_avg_pool,             nullptr,               kNone},
    OpSpec{kGlobalAvgPool,          "global_avg_pool",        "y",              infer_global_avg_pool,           grad_global_avg_pool,      nullptr,               kNone},
    OpSpec{kZeroPad,                "zero_pad",               "y",              infer_zero_pad,                  grad_zero_pad,             nullptr,               kNone},
    OpSpec{kAdd,                    "add",                    "y",              infer_add,                       grad_add,                  nullptr,               kInPlace},
    OpSpec{kFlatten,                "flatten",                "y",              infer_flatten,                   grad_flatten,              nullptr,               kView},
    OpSpec{kDropout,                "dropout",                "y",              infer_dropout,                   grad_dropout,              nullptr,               kInPlace},
    OpSpec{kL2Penalty,              "l2_penalty",             "y",              infer_l2_penalty,                grad_l2_penalty,           nullptr,               kNone},
    OpSpec{kCast,                   "cast",                   "y",              infer_cast,                      grad_cast,                 nullptr,               kNone},
    OpSpec{kConstant,               "constant",               "y",              infer_constant,                  nullptr,                   nullptr,               kNone},

    OpSpec{kConv2dDgrad,            "conv2d_dgrad",           "dx",             infer_conv2d_dgrad,              nullptr,                   flops_conv2d_dgrad,    kNone},
    OpSpec{kConv2dWgrad,            "conv2d_wgrad",           "dw db",          infer_conv2d_wgrad,              nullptr,                   flops_conv2d_wgrad,    kNone},
    OpSpec{kDepthwiseDgrad,         "depthwise_dgrad",        "dx",             infer_depthwise_dgrad,           nullptr,                   flops_depthwise_dgrad, kNone},
    OpSpec{kDepthwiseWgrad,         "depthwise_wgrad",        "dw",             infer_depthwise_wgrad,           nullptr,                   flops_depthwise_wgrad, kNone},
    OpSpec{kDenseDgrad,             "dense_dgrad",            "dx",             infer_dense_dgrad,               nullptr,                   flops_dense_dgrad,     kNone},
    OpSpec{kDenseWgrad,             "dense_wgrad",            "dw db",          infer_dense_wgrad,               nullptr,                   flops_dense_wgrad,     kNone},
    OpSpec{kBiasGrad,               "bias_grad",              "db",             infer_bias_grad,                 nullptr,                   nullptr,               kNone},
    OpSpec{kBatchNormGrad,          "batch_norm_grad",        "dx dgamma dbeta", infer_batch_norm_grad,          nullptr,                   nullptr,               kInPlace},
    OpSpec{kBatchNormPoolGrad,      "batch_norm_pool_grad",   "dx dgamma dbeta", infer_batch_norm_pool_grad,     nullptr,                   nullptr,               kNone},
    OpSpec{kBatchNormInferenceGrad, "batch_norm_inference_grad", "dx",          infer_batch_norm_inference_grad, grad_batch_norm_inference_grad, nullptr,               kInPlace},
    OpSpec{kReluGrad,               "relu_grad",              "dx",             infer_relu_grad,                 nullptr,                   nullptr,               kInPlace},
    OpSpec{kRelu6Grad,              "relu6_grad",             "dx",             infer_relu_grad,                 nullptr,                   nullptr,               kInPlace},
    OpSpec{kSoftmaxGrad,            "softmax_grad",           "dx",             infer_softmax_grad,              nullptr,                   nullptr,               kInPlace},
    OpSpec{kSoftmaxXentGrad,        "softmax_xent_grad",      "dx",             infer_softmax_xent_grad,         nullptr,                   nullptr,               kInPlace},
    OpSpec{kMaxPoolGrad,            "max_pool_grad",          "dx",             infer_pool_grad,                 nullptr,                   nullptr,               kNone},
    OpSpec{kAvgPoolGrad,            "avg_pool_grad",          "dx",             infer_pool_grad,                 nullptr,                   nullptr,               kNone},
    OpSpec{kGlobalAvgPoolGrad,      "global_avg_pool_grad",   "dx",             infer_global_avg_pool_grad,      nullptr,                   nullptr,               kNone},
    OpSpec{kCrop,                   "crop",                   "dx",             infer_crop,                      nullptr,                   nullptr,               kNone},
    OpSpec{kUnflatten,              "unflatten",              "dx",             infer_unflatten,                 grad_unflatten,            nullptr,               kView},
    OpSpec{kL2Grad,                 "l2_grad",                "dw",             infer_l2_grad,                   nullptr,                   nullptr,               kNone},

    OpSpec{kSchedule,               "schedule",               "rate",           infer_schedule,                  nullptr,                   nullptr,               kNone},
    OpSpec{kAccumulate,             "accumulate",             "",               infer_accumulate,                nullptr,                   nullptr,               kNone},
    OpSpec{kClipGradients,          "clip_gradients",         "",               infer_clip_gradients,            nullptr,                   nullptr,               kNone},
    OpSpec{kAdam,                   "adam",                   "",               infer_optimizer,                 nullptr,                   nullptr,               kNone},
    OpSpec{kSgd,                    "sgd",                    "",               infer_optimizer,                 nullptr,                   nullptr,               kNone},
    OpSpec{kRmsProp,                "rmsprop",                "",               infer_optimizer,                 nullptr,                   nullptr,               kNone},
    OpSpec{kEma,                    "ema",                    "",               infer_ema,                       nullptr,                   nullptr,               kNone},
    OpSpec{kLossScale,              "loss_scale",             "",               infer_loss_scale,                nullptr,                   nullptr,               kNone},
    OpSpec{kCheckGradients,         "check_gradients",        "",               infer_check_gradients,           nullptr,                   nullptr,               kNone},
    OpSpec{kUpdateLossScale,        "update_loss_scale",      "",               infer_update_loss_scale,         nullptr,                   nullptr,               kNone},
    OpSpec{kMetrics,                "metrics",                "",               infer_metrics,                   nullptr,                   nullptr,               kNone},
    OpSpec{kAdvance,                "advance",                "",               infer_advance,                   nullptr,                   nullptr,               kNone},
};
// clang-format on

consteval bool one_row_per_kind() {
    if (kOps.size() != static_cast<std::size_t>(OpKind::kCount)) {
        return false;
    }
    for (std::size_t i = 0; i < kOps.size(); ++i) {
        if (kOps[i].kind != static_cast<OpKind>(i)) {
            return false;
        }
    }
    return true;
}
static_assert(one_row_per_kind(), "kOps needs exactly one row per OpKind, in enum order");

}  // namespace

const OpSpec& spec_of(OpKind kind) { return kOps[static_cast<std::size_t>(kind)]; }
std::span<const OpSpec> all_ops() { return kOps; }

}  // namespace fer

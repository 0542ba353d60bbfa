#include "engine/run/cpu/cpu_device.hpp"

#include <array>
#include <vector>

#include "engine/run/cpu/onednn/implementations.hpp"
#include "engine/run/cpu/reference/kernels.hpp"

namespace fer {
namespace {

struct Row {
    OpKind kind;
    const Implementation* onednn;        // null: none
    Kernel (*reference)(const OpDesc&);  // null: a view, nothing runs
};

using namespace cpu;

// clang-format off
constexpr std::array kRows{
    Row{OpKind::kGather,                 nullptr,                       reference::gather},
    Row{OpKind::kAugment,                nullptr,                       reference::augment},
    Row{OpKind::kRescale,                nullptr,                       reference::rescale},
    Row{OpKind::kStandardize,            nullptr,                       reference::standardize},
    Row{OpKind::kResize,                 nullptr,                       reference::resize},
    Row{OpKind::kGrayToRgb,              nullptr,                       reference::gray_to_rgb},
    Row{OpKind::kImageBatch,             nullptr,                       reference::image_batch},
    Row{OpKind::kImageConv,              nullptr,                       reference::image_conv},
    Row{OpKind::kMixup,                 nullptr,                       reference::mixup},
    Row{OpKind::kConv2d,                 &onednn::kConv2d,              reference::conv2d},
    Row{OpKind::kDepthwiseConv,          &onednn::kDepthwiseConv,       reference::depthwise_conv},
    Row{OpKind::kDense,                  &onednn::kDense,               reference::dense},
    Row{OpKind::kBias,                   nullptr,                       reference::bias},
    Row{OpKind::kBatchNorm,              &onednn::kBatchNorm,           reference::batch_norm},
    Row{OpKind::kBatchNormPool,          nullptr,                       reference::batch_norm_pool},
    Row{OpKind::kBatchNormInference,     &onednn::kBatchNormInference,  reference::batch_norm_inference},
    Row{OpKind::kRelu,                   nullptr,                       reference::relu},
    Row{OpKind::kRelu6,                  nullptr,                       reference::relu6},
    Row{OpKind::kSoftmax,                nullptr,                       reference::softmax},
    Row{OpKind::kSoftmaxXent,            nullptr,                       reference::softmax_xent},
    Row{OpKind::kMaxPool,                &onednn::kMaxPool,             reference::max_pool},
    Row{OpKind::kAvgPool,                &onednn::kAvgPool,             reference::avg_pool},
    Row{OpKind::kGlobalAvgPool,          nullptr,                       reference::global_avg_pool},
    Row{OpKind::kZeroPad,                nullptr,                       reference::zero_pad},
    Row{OpKind::kAdd,                    nullptr,                       reference::add},
    Row{OpKind::kFlatten,                nullptr,                       nullptr},
    Row{OpKind::kDropout,                nullptr,                       reference::dropout},
    Row{OpKind::kL2Penalty,              nullptr,                       reference::l2_penalty},
    Row{OpKind::kCast,                   nullptr,                       reference::cast},
    Row{OpKind::kConstant,               nullptr,                       reference::constant},
    Row{OpKind::kConv2dDgrad,            &onednn::kConv2dDgrad,         reference::conv2d_dgrad},
    Row{OpKind::kConv2dWgrad,            &onednn::kConv2dWgrad,         reference::conv2d_wgrad},
    Row{OpKind::kDepthwiseDgrad,         &onednn::kDepthwiseDgrad,      reference::depthwise_dgrad},
    Row{OpKind::kDepthwiseWgrad,         &onednn::kDepthwiseWgrad,      reference::depthwise_wgrad},
    Row{OpKind::kDenseDgrad,             &onednn::kDenseDgrad,          reference::dense_dgrad},
    Row{OpKind::kDenseWgrad,             &onednn::kDenseWgrad,          reference::dense_wgrad},
    Row{OpKind::kBiasGrad,               nullptr,                       reference::bias_grad},
    Row{OpKind::kBatchNormGrad,          &onednn::kBatchNormGrad,       reference::batch_norm_grad},
    Row{OpKind::kBatchNormPoolGrad,      nullptr,                       reference::batch_norm_pool_grad},
    Row{OpKind::kBatchNormInferenceGrad, nullptr,                       reference::batch_norm_inference_grad},
    Row{OpKind::kReluGrad,               nullptr,                       reference::relu_grad},
    Row{OpKind::kRelu6Grad,              nullptr,                       reference::relu6_grad},
    Row{OpKind::kSoftmaxGrad,            nullptr,                       reference::softmax_grad},
    Row{OpKind::kSoftmaxXentGrad,        nullptr,                       reference::softmax_xent_grad},
    Row{OpKind::kMaxPoolGrad,            &onednn::kMaxPoolGrad,         reference::max_pool_grad},
    Row{OpKind::kAvgPoolGrad,            &onednn::kAvgPoolGrad,         reference::avg_pool_grad},
    Row{OpKind::kGlobalAvgPoolGrad,      nullptr,                       reference::global_avg_pool_grad},
    Row{OpKind::kCrop,                   nullptr,                       reference::crop},
    Row{OpKind::kUnflatten,              nullptr,                       nullptr},
    Row{OpKind::kL2Grad,                 nullptr,                       reference::l2_grad},
    Row{OpKind::kSchedule,              nullptr,                       reference::schedule},
    Row{OpKind::kAccumulate,            nullptr,                       reference::accumulate},
    Row{OpKind::kClipGradients,         nullptr,                       reference::clip_gradients},
    Row{OpKind::kAdam,                   nullptr,                       reference::adam},
    Row{OpKind::kSgd,                    nullptr,                       reference::sgd},
    Row{OpKind::kRmsProp,                nullptr,                       reference::rmsprop},
    Row{OpKind::kEma,                    nullptr,                       reference::ema},
    Row{OpKind::kLossScale,              nullptr,                       reference::loss_scale},
    Row{OpKind::kCheckGradients,         nullptr,                       reference::check_gradients},
    Row{OpKind::kUpdateLossScale,        nullptr,                       reference::update_loss_scale},
    Row{OpKind::kMetrics,                nullptr,                       reference::metrics},
    Row{OpKind::kAdvance,                nullptr,                       reference::advance},
};
// clang-format on

consteval bool one_row_per_kind() {
    for (std::size_t i = 0; i < kRows.size(); ++i) {
        if (kRows[i].kind != static_cast<OpKind>(i)) {
            return false;
        }
    }
    return kRows.size() == static_cast<std::size_t>(OpKind::kCount);
}
static_assert(one_row_per_kind(), "kRows needs exactly one row per OpKind, in enum order");

class CpuDevice : public Device {
public:
    explicit CpuDevice(bool reference_only) : lists_(kRows.size()) {
        for (std::size_t i = 0; i < kRows.size(); ++i) {
            if (kRows[i].onednn != nullptr && !reference_only) {
                lists_[i].push_back(*kRows[i].onednn);
            }
            if (kRows[i].reference != nullptr) {
                lists_[i].push_back({"reference", nullptr, nullptr, kRows[i].reference});
            }
        }
        if (!reference_only) {
            put_first(OpKind::kConv2dDgrad, onednn::kConv2dDgradTurned);
            put_first(OpKind::kDenseDgrad, onednn::kDenseDgradMatmul);
        }
    }
    std::string_view name() const override { return "cpu"; }
    std::string_view fusions() const override {
        return "fold,bias,activation,pad,depthwise,fixed_norm,residual,gray,hoist";
    }
    std::span<const Implementation> implementations(OpKind kind) const override {
        return lists_[static_cast<std::size_t>(kind)];
    }

private:
    void put_first(OpKind kind, const Implementation& implementation) {
        auto& list = lists_[static_cast<std::size_t>(kind)];
        list.insert(list.begin(), implementation);
    }

    std::vector<std::vector<Implementation>> lists_;
};

}  // namespace

const Device& cpu_device(bool reference_only) {
    static const CpuDevice fast(false);
    static const CpuDevice reference(true);
    return reference_only ? reference : fast;
}

}  // namespace fer

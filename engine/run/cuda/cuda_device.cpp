#include "engine/run/cuda/cuda_device.hpp"

#include <array>
#include <vector>

#include "engine/run/cuda/handwritten/kernels.hpp"
#include "engine/run/cuda/libraries/lists.hpp"

namespace fer::FER_PORT {
namespace {

struct Row {
    OpKind kind;
    handwritten::List (*handwritten)();       // null: a view, nothing runs
    handwritten::List (*vendor)() = nullptr;  // after ours, whose bits are the same on every machine
};

#if defined(FER_EMULATED)  // which has no libraries
#define FER_LIBRARY(list) nullptr
#else
#define FER_LIBRARY(list) cuda::list
#endif

// clang-format off
constexpr std::array kRows{
    Row{OpKind::kGather,                 handwritten::gather},
    Row{OpKind::kAugment,                handwritten::augment},
    Row{OpKind::kRescale,                handwritten::rescale},
    Row{OpKind::kStandardize,            handwritten::standardize},
    Row{OpKind::kResize,                 handwritten::resize},
    Row{OpKind::kGrayToRgb,              handwritten::gray_to_rgb},
    Row{OpKind::kImageBatch,             handwritten::image_batch},
    Row{OpKind::kImageConv,              handwritten::image_conv},
    Row{OpKind::kMixup,                 handwritten::mixup},
    Row{OpKind::kConv2d,                 handwritten::conv2d, FER_LIBRARY(cudnn_conv2d)},
    Row{OpKind::kDepthwiseConv,          handwritten::depthwise_conv},
    Row{OpKind::kDense,                  handwritten::dense, FER_LIBRARY(cublaslt_dense)},
    Row{OpKind::kBias,                   handwritten::bias},
    Row{OpKind::kBatchNorm,              handwritten::batch_norm},
    Row{OpKind::kBatchNormPool,          handwritten::batch_norm_pool},
    Row{OpKind::kBatchNormInference,     handwritten::batch_norm_inference},
    Row{OpKind::kRelu,                   handwritten::relu},
    Row{OpKind::kRelu6,                  handwritten::relu6},
    Row{OpKind::kSoftmax,                handwritten::softmax},
    Row{OpKind::kSoftmaxXent,            handwritten::softmax_xent},
    Row{OpKind::kMaxPool,                handwritten::max_pool},
    Row{OpKind::kAvgPool,                handwritten::avg_pool},
    Row{OpKind::kGlobalAvgPool,          handwritten::global_avg_pool},
    Row{OpKind::kZeroPad,                handwritten::zero_pad},
    Row{OpKind::kAdd,                    handwritten::add},
    Row{OpKind::kFlatten,                nullptr},
    Row{OpKind::kDropout,                handwritten::dropout},
    Row{OpKind::kL2Penalty,              handwritten::l2_penalty},
    Row{OpKind::kCast,                   handwritten::cast},
    Row{OpKind::kConstant,               handwritten::constant},
    Row{OpKind::kConv2dDgrad,            handwritten::conv2d_dgrad, FER_LIBRARY(cudnn_conv2d_dgrad)},
    Row{OpKind::kConv2dWgrad,            handwritten::conv2d_wgrad, FER_LIBRARY(cudnn_conv2d_wgrad)},
    Row{OpKind::kDepthwiseDgrad,         handwritten::depthwise_dgrad},
    Row{OpKind::kDepthwiseWgrad,         handwritten::depthwise_wgrad},
    Row{OpKind::kDenseDgrad,             handwritten::dense_dgrad, FER_LIBRARY(cublaslt_dense_dgrad)},
    Row{OpKind::kDenseWgrad,             handwritten::dense_wgrad, FER_LIBRARY(cublaslt_dense_wgrad)},
    Row{OpKind::kBiasGrad,               handwritten::bias_grad},
    Row{OpKind::kBatchNormGrad,          handwritten::batch_norm_grad},
    Row{OpKind::kBatchNormPoolGrad,      handwritten::batch_norm_pool_grad},
    Row{OpKind::kBatchNormInferenceGrad, handwritten::batch_norm_inference_grad},
    Row{OpKind::kReluGrad,               handwritten::relu_grad},
    Row{OpKind::kRelu6Grad,              handwritten::relu6_grad},
    Row{OpKind::kSoftmaxGrad,            handwritten::softmax_grad},
    Row{OpKind::kSoftmaxXentGrad,        handwritten::softmax_xent_grad},
    Row{OpKind::kMaxPoolGrad,            handwritten::max_pool_grad},
    Row{OpKind::kAvgPoolGrad,            handwritten::avg_pool_grad},
    Row{OpKind::kGlobalAvgPoolGrad,      handwritten::global_avg_pool_grad},
    Row{OpKind::kCrop,                   handwritten::crop},
    Row{OpKind::kUnflatten,              nullptr},
    Row{OpKind::kL2Grad,                 handwritten::l2_grad},
    Row{OpKind::kSchedule,              handwritten::schedule},
    Row{OpKind::kAccumulate,            handwritten::accumulate},
    Row{OpKind::kClipGradients,         handwritten::clip_gradients},
    Row{OpKind::kAdam,                   handwritten::adam},
    Row{OpKind::kSgd,                    handwritten::sgd},
    Row{OpKind::kRmsProp,                handwritten::rmsprop},
    Row{OpKind::kEma,                    handwritten::ema},
    Row{OpKind::kLossScale,              handwritten::loss_scale},
    Row{OpKind::kCheckGradients,         handwritten::check_gradients},
    Row{OpKind::kUpdateLossScale,        handwritten::update_loss_scale},
    Row{OpKind::kMetrics,                handwritten::metrics},
    Row{OpKind::kAdvance,                handwritten::advance},
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

class CudaDevice : public Device {
public:
    CudaDevice() {
        for (const Row& row : kRows) {
            const handwritten::List list = row.handwritten == nullptr ? handwritten::List{} : row.handwritten();
            std::vector<Implementation>& all = lists_.emplace_back(list.begin(), list.end());
            if (row.vendor != nullptr) {
                const handwritten::List more = row.vendor();
                all.insert(all.end(), more.begin(), more.end());
            }
        }
    }
    std::string_view name() const override {
#if defined(FER_EMULATED)
        return "emulated";
#else
        return "cuda";
#endif
    }
    std::string_view fusions() const override {
        return "fold,bias,activation,norm,pad,depthwise,residual,norm_pool,norm_mask,norm_sums,loss,l2,gray,input,"
               "image_conv,shadow,"
               "hoist,early_update";
    }
    bool overlaps() const override { return true; }
    std::span<const Implementation> implementations(OpKind kind) const override {
        return lists_[static_cast<std::size_t>(kind)];
    }

private:
    std::vector<std::vector<Implementation>> lists_;
};

}  // namespace

const Device& cuda_device() {
    static const CudaDevice device;
    return device;
}

}  // namespace fer::FER_PORT

// Stands in for the implementations beside it in a build without oneDNN: each declines, so the reference runs.
#include "engine/run/cpu/onednn/implementations.hpp"

namespace fer::cpu::onednn {
namespace {

Refusal refuse(const OpDesc&) { return "this build has no oneDNN"; }
constexpr Implementation kLeftOut{"onednn", refuse, nullptr, nullptr};

}  // namespace

const Implementation kConv2d = kLeftOut, kConv2dDgrad = kLeftOut, kConv2dWgrad = kLeftOut;
const Implementation kConv2dDgradTurned{"onednn_turned", refuse, nullptr, nullptr};
const Implementation kDenseDgradMatmul{"onednn_matmul", refuse, nullptr, nullptr};
const Implementation kDepthwiseConv = kLeftOut, kDepthwiseDgrad = kLeftOut, kDepthwiseWgrad = kLeftOut;
const Implementation kDense = kLeftOut, kDenseDgrad = kLeftOut, kDenseWgrad = kLeftOut;
const Implementation kBatchNorm = kLeftOut, kBatchNormGrad = kLeftOut, kBatchNormInference = kLeftOut;
const Implementation kMaxPool = kLeftOut, kMaxPoolGrad = kLeftOut, kAvgPool = kLeftOut, kAvgPoolGrad = kLeftOut;

}  // namespace fer::cpu::onednn

// The oneDNN implementations, one per op and direction.
#pragma once

#include "engine/plan/implementation.hpp"

namespace fer::cpu::onednn {

extern const Implementation kConv2d, kConv2dDgradTurned, kConv2dDgrad, kConv2dWgrad;
extern const Implementation kDepthwiseConv, kDepthwiseDgrad, kDepthwiseWgrad;
extern const Implementation kDense, kDenseDgradMatmul, kDenseDgrad, kDenseWgrad;
extern const Implementation kBatchNorm, kBatchNormGrad, kBatchNormInference;
extern const Implementation kMaxPool, kMaxPoolGrad, kAvgPool, kAvgPoolGrad;

}  // namespace fer::cpu::onednn

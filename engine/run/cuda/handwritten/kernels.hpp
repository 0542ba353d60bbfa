// The handwritten implementations, in order of preference for every op.
#pragma once

#include <span>

#include "engine/plan/implementation.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT::handwritten {

using List = std::span<const Implementation>;

List gather();
List augment();
List rescale();
List standardize();
List resize();
List gray_to_rgb();
List image_batch();
List image_conv();
List mixup();
List conv2d();
List depthwise_conv();
List dense();
List bias();
List batch_norm();
List batch_norm_pool();
List batch_norm_inference();
List relu();
List relu6();
List softmax();
List softmax_xent();
List max_pool();
List avg_pool();
List global_avg_pool();
List zero_pad();
List add();
List dropout();
List l2_penalty();
List cast();
List constant();
List conv2d_dgrad();
List conv2d_wgrad();
List depthwise_dgrad();
List depthwise_wgrad();
List dense_dgrad();
List dense_wgrad();
List bias_grad();
List batch_norm_grad();
List batch_norm_pool_grad();
List batch_norm_inference_grad();
List relu_grad();
List relu6_grad();
List softmax_grad();
List softmax_xent_grad();
List max_pool_grad();
List avg_pool_grad();
List global_avg_pool_grad();
List crop();
List l2_grad();
List schedule();
List accumulate();
List clip_gradients();
List adam();
List sgd();
List rmsprop();
List ema();
List loss_scale();
List check_gradients();
List update_loss_scale();
List metrics();
List advance();

/// A convolution whose epilogue has no sums for the batch norm behind it, with a pass over y after it where the node
/// asks for statistics; that pass needs so much of the node's scratch memory, all of which is free by then.
Kernel with_statistics(const OpDesc& op, Kernel convolution);
std::int64_t statistics_workspace(const OpDesc& op);

}  // namespace fer::FER_PORT::handwritten

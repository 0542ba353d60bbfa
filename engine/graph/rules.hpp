// The rules the op table points to. Private to the graph library.
#pragma once

#include <vector>

#include "engine/graph/op_table.hpp"

namespace fer::rules {

using Infos = std::vector<TensorInfo>;

// shapes
Infos infer_gather(const OpDesc&);
Infos infer_augment(const OpDesc&);
Infos infer_to_float(const OpDesc&);
Infos infer_same(const OpDesc&);
Infos infer_resize(const OpDesc&);
Infos infer_gray_to_rgb(const OpDesc&);
Infos infer_image_batch(const OpDesc&);
Infos infer_image_conv(const OpDesc&);
Infos infer_mixup(const OpDesc&);
Infos infer_conv2d(const OpDesc&);
Infos infer_depthwise_conv(const OpDesc&);
Infos infer_dense(const OpDesc&);
Infos infer_bias(const OpDesc&);
Infos infer_batch_norm(const OpDesc&);
Infos infer_batch_norm_pool(const OpDesc& op);
Infos infer_batch_norm_inference(const OpDesc&);
Infos infer_softmax(const OpDesc&);
Infos infer_softmax_xent(const OpDesc&);
Infos infer_max_pool(const OpDesc&);
Infos infer_avg_pool(const OpDesc&);
Infos infer_global_avg_pool(const OpDesc&);
Infos infer_zero_pad(const OpDesc&);
Infos infer_add(const OpDesc&);
Infos infer_flatten(const OpDesc&);
Infos infer_dropout(const OpDesc&);
Infos infer_l2_penalty(const OpDesc&);
Infos infer_cast(const OpDesc&);
Infos infer_constant(const OpDesc&);
Infos infer_conv2d_dgrad(const OpDesc&);
Infos infer_conv2d_wgrad(const OpDesc&);
Infos infer_depthwise_dgrad(const OpDesc&);
Infos infer_depthwise_wgrad(const OpDesc&);
Infos infer_dense_dgrad(const OpDesc&);
Infos infer_dense_wgrad(const OpDesc&);
Infos infer_bias_grad(const OpDesc&);
Infos infer_batch_norm_grad(const OpDesc&);
Infos infer_batch_norm_pool_grad(const OpDesc& op);
Infos infer_batch_norm_inference_grad(const OpDesc&);
Infos infer_relu_grad(const OpDesc&);
Infos infer_softmax_grad(const OpDesc&);
Infos infer_softmax_xent_grad(const OpDesc&);
Infos infer_pool_grad(const OpDesc&);
Infos infer_global_avg_pool_grad(const OpDesc&);
Infos infer_crop(const OpDesc&);
Infos infer_unflatten(const OpDesc&);
Infos infer_l2_grad(const OpDesc&);
Infos infer_schedule(const OpDesc&);
Infos infer_accumulate(const OpDesc&);
Infos infer_clip_gradients(const OpDesc&);
Infos infer_optimizer(const OpDesc&);
Infos infer_ema(const OpDesc&);
Infos infer_loss_scale(const OpDesc& op);
Infos infer_check_gradients(const OpDesc& op);
Infos infer_update_loss_scale(const OpDesc& op);
Infos infer_metrics(const OpDesc&);
Infos infer_advance(const OpDesc&);

// gradients
void grad_conv2d(Gradients&, const Node&);
void grad_depthwise_conv(Gradients&, const Node&);
void grad_dense(Gradients&, const Node&);
void grad_bias(Gradients&, const Node&);
void grad_batch_norm(Gradients&, const Node&);
void grad_batch_norm_pool(Gradients& g, const Node& node);
void grad_batch_norm_inference(Gradients&, const Node&);
void grad_batch_norm_inference_grad(Gradients&, const Node&);
void grad_relu(Gradients&, const Node&);
void grad_relu6(Gradients&, const Node&);
void grad_softmax(Gradients&, const Node&);
void grad_softmax_xent(Gradients&, const Node&);
void grad_max_pool(Gradients&, const Node&);
void grad_avg_pool(Gradients&, const Node&);
void grad_global_avg_pool(Gradients&, const Node&);
void grad_zero_pad(Gradients&, const Node&);
void grad_add(Gradients&, const Node&);
void grad_flatten(Gradients&, const Node&);
void grad_unflatten(Gradients&, const Node&);
void grad_dropout(Gradients&, const Node&);
void grad_l2_penalty(Gradients&, const Node&);
void grad_cast(Gradients&, const Node&);

// costs
std::int64_t flops_image_conv(const OpDesc&);
std::int64_t flops_conv2d(const OpDesc&);
std::int64_t flops_conv2d_dgrad(const OpDesc&);
std::int64_t flops_conv2d_wgrad(const OpDesc&);
std::int64_t flops_depthwise(const OpDesc&);
std::int64_t flops_depthwise_dgrad(const OpDesc&);
std::int64_t flops_depthwise_wgrad(const OpDesc&);
std::int64_t flops_dense(const OpDesc&);
std::int64_t flops_dense_dgrad(const OpDesc&);
std::int64_t flops_dense_wgrad(const OpDesc&);

}  // namespace fer::rules

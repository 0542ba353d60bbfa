// What the reference offers, one maker per op.
#pragma once

#include "engine/plan/implementation.hpp"

namespace fer::cpu::reference {

Kernel gather(const OpDesc&);
Kernel augment(const OpDesc&);
Kernel rescale(const OpDesc&);
Kernel standardize(const OpDesc&);
Kernel resize(const OpDesc&);
Kernel gray_to_rgb(const OpDesc&);
Kernel image_batch(const OpDesc&);
Kernel image_conv(const OpDesc&);
Kernel mixup(const OpDesc&);
Kernel conv2d(const OpDesc&);
Kernel depthwise_conv(const OpDesc&);
Kernel dense(const OpDesc&);
Kernel bias(const OpDesc&);
Kernel batch_norm(const OpDesc&);
Kernel batch_norm_pool(const OpDesc&);
Kernel batch_norm_inference(const OpDesc&);
Kernel relu(const OpDesc&);
Kernel relu6(const OpDesc&);
Kernel softmax(const OpDesc&);
Kernel softmax_xent(const OpDesc&);
Kernel max_pool(const OpDesc&);
Kernel avg_pool(const OpDesc&);
Kernel global_avg_pool(const OpDesc&);
Kernel zero_pad(const OpDesc&);
Kernel add(const OpDesc&);
Kernel dropout(const OpDesc&);
Kernel l2_penalty(const OpDesc&);
Kernel cast(const OpDesc&);
Kernel constant(const OpDesc&);
Kernel conv2d_dgrad(const OpDesc&);
Kernel conv2d_wgrad(const OpDesc&);
Kernel depthwise_dgrad(const OpDesc&);
Kernel depthwise_wgrad(const OpDesc&);
Kernel dense_dgrad(const OpDesc&);
Kernel dense_wgrad(const OpDesc&);
Kernel bias_grad(const OpDesc&);
Kernel batch_norm_grad(const OpDesc&);
Kernel batch_norm_pool_grad(const OpDesc&);
Kernel batch_norm_inference_grad(const OpDesc&);
Kernel relu_grad(const OpDesc&);
Kernel relu6_grad(const OpDesc&);
Kernel softmax_grad(const OpDesc&);
Kernel softmax_xent_grad(const OpDesc&);
Kernel max_pool_grad(const OpDesc&);
Kernel avg_pool_grad(const OpDesc&);
Kernel global_avg_pool_grad(const OpDesc&);
Kernel crop(const OpDesc&);
Kernel l2_grad(const OpDesc&);
Kernel schedule(const OpDesc&);
Kernel accumulate(const OpDesc&);
Kernel clip_gradients(const OpDesc&);
Kernel adam(const OpDesc&);
Kernel sgd(const OpDesc&);
Kernel rmsprop(const OpDesc&);
Kernel ema(const OpDesc&);
Kernel loss_scale(const OpDesc&);
Kernel check_gradients(const OpDesc&);
Kernel update_loss_scale(const OpDesc&);
Kernel metrics(const OpDesc&);
Kernel advance(const OpDesc&);

}  // namespace fer::cpu::reference

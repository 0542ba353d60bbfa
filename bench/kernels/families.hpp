// The launchers of kernels/, each on the layers it serves. One function per part of the step.
#pragma once

#include "bench/kernels/case.hpp"

namespace fer::FER_PORT {

void add_convolutions(Cases& cases, const Layers& layers);  // conv2d_*, conv2d_direct_*, first_conv_*
void add_dense(Cases& cases, const Layers& layers);         // dense_*
void add_depthwise(Cases& cases, const Layers& layers);     // depthwise_*, separable_fwd, sum_partials
void add_batch_norms(Cases& cases, const Layers& layers);   // batch_norm_*, bias_*
void add_elementwise(Cases& cases, const Layers& layers);   // relu_*, add_fwd, dropout, cast, zero_pad_fwd, crop_fwd
void add_pools(Cases& cases, const Layers& layers);         // max_pool_*, avg_pool_*, global_avg_pool_*
void add_images(Cases& cases, const Layers& layers);        // gather, augment, image_batch, rescale, ...
void add_losses(Cases& cases, const Layers& layers);        // softmax_*, l2_*, fill, metrics, advance
void add_optimizers(Cases& cases, const Layers& layers);    // adam, sgd, rmsprop, ema, loss scaling, clipping

}  // namespace fer::FER_PORT

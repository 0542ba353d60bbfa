#include "models/models.hpp"

namespace fer::models {

// No L2 term: Keras's SeparableConv2D does not apply kernel_regularizer to either of its kernels.
void separable_cnn(Net& net) {
    net.separable_conv(32, 3).relu().separable_conv(64, 3).relu();
    net.batch_norm().max_pool().dropout(0.25f);
    net.separable_conv(128, 3).relu().separable_conv(256, 3, {.padding = Padding::kValid}).relu();
    net.batch_norm().max_pool().dropout(0.25f);
    net.separable_conv(512, 3).relu().separable_conv(512, 3).relu();
    net.batch_norm().max_pool().dropout(0.25f);
    net.flatten().dense(1024).relu().dropout(0.5f);
    net.logits(kClasses);
}

}  // namespace fer::models

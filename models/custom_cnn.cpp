#include "models/models.hpp"

namespace fer::models {

void custom_stack(Net& net) {
    net.conv(32, 3).relu().conv(64, 3).relu();
    net.batch_norm().max_pool().dropout(0.25f);
    net.conv(128, 3, {.l2 = kL2}).relu().conv(256, 3, {.padding = Padding::kValid, .l2 = kL2}).relu();
    net.batch_norm().max_pool().dropout(0.25f);
    net.conv(512, 3, {.l2 = kL2}).relu().conv(512, 3, {.l2 = kL2}).relu();
    net.batch_norm().max_pool().dropout(0.25f);
}

// 48 -> 24 -> 11 -> 5; the first dense layer holds 77 % of the weights.
void custom_cnn(Net& net) {
    custom_stack(net);
    net.flatten().dense(1024).relu().dropout(0.5f);
    net.logits(kClasses);
}

}  // namespace fer::models

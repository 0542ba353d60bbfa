#include "models/models.hpp"

namespace fer::models {

// 48 -> 24 -> 11 -> 5 -> 2
void deeper_cnn(Net& net) {
    custom_stack(net);
    net.conv(512, 3, {.l2 = kL2}).relu().conv(512, 3, {.l2 = kL2}).relu();
    net.batch_norm().max_pool().dropout(0.25f);
    net.flatten().dense(2048).relu().dropout(0.5f);
    net.logits(kClasses);
}

}  // namespace fer::models

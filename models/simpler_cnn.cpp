#include "models/models.hpp"

namespace fer::models {

// 48 -> 24 -> 12; the first dense layer holds 99 % of the weights.
void simpler_cnn(Net& net) {
    net.conv(32, 3).relu().conv(64, 3).relu();
    net.batch_norm().max_pool().dropout(0.25f);
    net.conv(128, 3, {.l2 = kL2}).relu();
    net.batch_norm().max_pool().dropout(0.25f);
    net.flatten().dense(512).relu().dropout(0.5f);
    net.logits(kClasses);
}

}  // namespace fer::models

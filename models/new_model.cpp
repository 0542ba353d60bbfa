#include "models/models.hpp"

namespace fer::models {
namespace {

void block(Net& net, int filters, int kernel) {
    net.conv(filters, kernel).batch_norm().relu().max_pool().dropout(0.25f);
}

}  // namespace

// 48 -> 24 -> 12 -> 6 -> 3; batch norm stands before ReLU, also behind the dense layers.
void new_model(Net& net) {
    block(net, 64, 3);
    block(net, 128, 5);
    block(net, 512, 3);
    block(net, 512, 3);
    net.flatten();
    net.dense(256).batch_norm().relu().dropout(0.25f);
    net.dense(512).batch_norm().relu().dropout(0.25f);
    net.logits(kClasses);
}

}  // namespace fer::models

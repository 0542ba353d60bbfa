#include "models/models.hpp"

namespace fer::models {
namespace {

void block(Net& net, int filters) {
    const ValueId shortcut = net.here();
    net.conv(filters, 3, {.l2 = kL2}).relu().batch_norm();
    net.conv(filters, 3, {.l2 = kL2}).batch_norm();
    net.add(shortcut).relu();
}

}  // namespace

// 48 -> 24 -> 12 -> 6; two blocks at each of four widths.
void residual_cnn(Net& net) {
    net.conv(32, 3).relu();
    block(net, 32);
    block(net, 32);
    net.conv(64, 3).relu().batch_norm().max_pool().dropout(0.25f);
    block(net, 64);
    block(net, 64);
    net.conv(128, 3, {.l2 = kL2}).relu().batch_norm().max_pool().dropout(0.25f);
    block(net, 128);
    block(net, 128);
    net.conv(256, 3, {.l2 = kL2}).relu().batch_norm().max_pool().dropout(0.25f);
    block(net, 256);
    block(net, 256);
    net.flatten().dense(1024).relu().dropout(0.5f);
    net.logits(kClasses);
}

}  // namespace fer::models

// Our own two networks, beyond the reference: residual, at full resolution, without a bias in front of a batch norm.
// Their L2 factor is half of a weight decay of 5e-4, on kernels only.
#include "models/models.hpp"

namespace fer::models {
namespace {

constexpr ConvOptions kPlain{.bias = false, .l2 = 2.5e-4f};
// Statistics that follow within some tens of steps: trainings are short.
constexpr BatchNormAttrs kNorm{.momentum = 0.9, .epsilon = 1e-5};

void layer(Net& net, int filters) { net.conv(filters, 3, kPlain).batch_norm(kNorm).relu(); }

void shortcut_over_two_layers(Net& net, int filters) {
    const ValueId shortcut = net.here();
    layer(net, filters);
    layer(net, filters);
    net.add(shortcut);
}

/// The basic block of ResNet-18: two convolutions, the first of the given stride, around which the input goes as it is
/// or, where its shape changes, through a convolution of one pixel.
void basic_block(Net& net, int filters, int stride) {
    const ValueId input = net.here();
    ConvOptions first = kPlain;
    first.stride = stride;
    net.conv(filters, 3, first).batch_norm(kNorm).relu();
    net.conv(filters, 3, kPlain).batch_norm(kNorm);
    if (stride == 1) {
        net.add(input).relu();
        return;
    }
    const ValueId body = net.here();
    net.from(input).conv(filters, 1, first).batch_norm(kNorm).add(body).relu();
}

}  // namespace

// The ResNet-9 of DAWNBench's fast trainings: 48 -> 24 -> 12 -> 6, two shortcuts.
void fer_fast(Net& net) {
    layer(net, 64);
    layer(net, 128);
    net.max_pool();
    shortcut_over_two_layers(net, 128);
    layer(net, 256);
    net.max_pool();
    layer(net, 512);
    net.max_pool();
    shortcut_over_two_layers(net, 512);
    net.global_avg_pool().dropout(0.2f);
    net.logits(kClasses);
}

// ResNet-18 without the stem that would shrink the image: 48 -> 24 -> 12 -> 6, two blocks at each of four widths.
void fer_best(Net& net) {
    layer(net, 64);
    for (const int filters : {64, 128, 256, 512}) {
        basic_block(net, filters, filters == 64 ? 1 : 2);
        basic_block(net, filters, 1);
    }
    net.global_avg_pool().dropout(0.3f);
    net.logits(kClasses);
}

}  // namespace fer::models

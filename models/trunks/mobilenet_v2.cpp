#include "models/trunks/trunks.hpp"

namespace fer::models {
namespace {

constexpr BatchNormAttrs kNorm{.momentum = 0.999, .epsilon = 1e-3};
constexpr ConvOptions kNoBias{.bias = false};

/// Keras's correct_pad for a 3x3 window: an even side is padded behind only.
PadAttrs correct_pad(const Shape& x) { return {x[1] % 2 == 0 ? 0 : 1, 1, x[2] % 2 == 0 ? 0 : 1, 1}; }

void inverted_residual(Net& net, int block, int expansion, int filters, int stride) {
    const std::string prefix = block == 0 ? "expanded_conv" : fmt::format("block_{}", block);
    const auto part = [&prefix](const char* what) { return prefix + what; };
    const ValueId input = net.here();
    const std::int64_t channels = net.shape()[3];
    if (block > 0) {
        net.named(part("_expand")).conv_exact(expansion * channels, 1, kNoBias);
        net.named(part("_expand_BN")).batch_norm(kNorm).named(part("_expand_relu")).relu6();
    }
    if (stride == 2) {
        net.named(part("_pad")).zero_pad(correct_pad(net.shape()));
    }
    const Padding padding = stride == 2 ? Padding::kValid : Padding::kSame;
    net.named(part("_depthwise")).depthwise_conv(3, {.stride = stride, .padding = padding, .bias = false});
    net.named(part("_depthwise_BN")).batch_norm(kNorm).named(part("_depthwise_relu")).relu6();
    net.named(part("_project")).conv(filters, 1, kNoBias).named(part("_project_BN")).batch_norm(kNorm);
    if (stride == 1 && channels == net.shape()[3]) {
        net.named(part("_add")).add(input);
    }
}

struct Group {
    int expansion, filters, blocks, stride;
};
constexpr Group kGroups[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                             {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

}  // namespace

// Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018).
void mobilenet_v2(Net& net) {
    net.named("Conv1").conv(32, 3, {.stride = 2, .bias = false});
    net.named("bn_Conv1").batch_norm(kNorm).named("Conv1_relu").relu6();
    int block = 0;
    for (const Group& group : kGroups) {
        for (int i = 0; i < group.blocks; ++i) {
            inverted_residual(net, block++, group.expansion, group.filters, i == 0 ? group.stride : 1);
        }
    }
    net.named("Conv_1").conv(1280, 1, kNoBias);
    net.named("Conv_1_bn").batch_norm(kNorm).named("out_relu").relu6();
}

}  // namespace fer::models

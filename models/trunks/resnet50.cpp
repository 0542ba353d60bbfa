#include "models/trunks/trunks.hpp"

namespace fer::models {
namespace {

constexpr BatchNormAttrs kNorm{.momentum = 0.99, .epsilon = 1.001e-5};
constexpr ConvOptions kNoBias{.bias = false};
constexpr ConvOptions kStem{.stride = 2, .padding = Padding::kValid};

void stem(Net& net, bool norm) {
    net.named("conv1_pad").zero_pad({3, 3, 3, 3}).named("conv1_conv").conv(64, 7, kStem);
    if (norm) {
        net.named("conv1_bn").batch_norm(kNorm).named("conv1_relu").relu();
    }
    net.named("pool1_pad").zero_pad({1, 1, 1, 1}).named("pool1_pool").max_pool(3, 2);
}

void block_v1(Net& net, const std::string& name, int filters, int stride, bool projects) {
    const auto part = [&name](const char* what) { return name + what; };
    const ValueId input = net.here();
    ValueId shortcut = input;
    if (projects) {
        net.named(part("_0_conv")).conv(4 * filters, 1, {.stride = stride}).named(part("_0_bn")).batch_norm(kNorm);
        shortcut = net.here();
        net.from(input);
    }
    net.named(part("_1_conv")).conv(filters, 1, {.stride = stride});
    net.named(part("_1_bn")).batch_norm(kNorm).named(part("_1_relu")).relu();
    net.named(part("_2_conv")).conv(filters, 3).named(part("_2_bn")).batch_norm(kNorm).named(part("_2_relu")).relu();
    net.named(part("_3_conv")).conv(4 * filters, 1).named(part("_3_bn")).batch_norm(kNorm);
    net.named(part("_add")).add(shortcut).named(part("_out")).relu();
}

void block_v2(Net& net, const std::string& name, int filters, int stride, bool projects) {
    const auto part = [&name](const char* what) { return name + what; };
    const ValueId input = net.here();
    net.named(part("_preact_bn")).batch_norm(kNorm).named(part("_preact_relu")).relu();
    const ValueId active = net.here();
    ValueId shortcut = input;
    if (projects) {
        shortcut = net.named(part("_0_conv")).conv(4 * filters, 1, {.stride = stride}).here();
    } else if (stride > 1) {
        shortcut = net.from(input).max_pool(1, stride).here();
    }
    net.from(active).named(part("_1_conv")).conv(filters, 1, kNoBias);
    net.named(part("_1_bn")).batch_norm(kNorm).named(part("_1_relu")).relu();
    net.named(part("_2_pad")).zero_pad({1, 1, 1, 1});
    net.named(part("_2_conv")).conv(filters, 3, {.stride = stride, .padding = Padding::kValid, .bias = false});
    net.named(part("_2_bn")).batch_norm(kNorm).named(part("_2_relu")).relu();
    net.named(part("_3_conv")).conv(4 * filters, 1).named(part("_out")).add(shortcut);
}

struct Stack {
    int filters, blocks;
};
constexpr Stack kStacks[] = {{64, 3}, {128, 4}, {256, 6}, {512, 3}};

std::string block_name(int stack, int block) { return fmt::format("conv{}_block{}", stack + 2, block + 1); }

}  // namespace

// He et al., "Deep Residual Learning for Image Recognition" (2015).
void resnet50(Net& net) {
    stem(net, true);
    for (int s = 0; s < 4; ++s) {
        for (int b = 0; b < kStacks[s].blocks; ++b) {
            block_v1(net, block_name(s, b), kStacks[s].filters, b == 0 && s > 0 ? 2 : 1, b == 0);
        }
    }
}

// He et al., "Identity Mappings in Deep Residual Networks" (2016).
void resnet50v2(Net& net) {
    stem(net, false);
    for (int s = 0; s < 4; ++s) {
        for (int b = 0; b < kStacks[s].blocks; ++b) {
            const bool last = b == kStacks[s].blocks - 1;
            block_v2(net, block_name(s, b), kStacks[s].filters, last && s < 3 ? 2 : 1, b == 0);
        }
    }
    net.named("post_bn").batch_norm(kNorm).named("post_relu").relu();
}

}  // namespace fer::models

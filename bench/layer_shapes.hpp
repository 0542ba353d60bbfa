// Every distinct layer of every network, read off the graphs themselves: tests and benches of kernels run on these.
#pragma once

#include <string>
#include <vector>

#include "engine/graph/op.hpp"

namespace fer::bench {

struct LayerShape {
    std::string where;  // the first place it was met: "custom_cnn/conv2d_3/dw"
    OpDesc op;
    int times = 0;  // how often it occurs in all training steps together
};

/// The rules that leave every kernel a node to be measured on: no statistics inside convolutions, no loss and gradient
/// in one.
inline constexpr const char* kLayerFusions = "bias,activation,norm,norm_pool,norm_mask";

/// The distinct nodes (kind, attributes, shapes) of the training steps of all networks at that batch, rewritten by the
/// rules that `fuse` names, in the order they are first met. `trunks` adds the transfer networks at 224x224; `width`
/// scales the channels.
std::vector<LayerShape> layer_shapes(std::int64_t batch, bool trunks = false, const std::string& fuse = kLayerFusions,
                                     float width = 1);

}  // namespace fer::bench

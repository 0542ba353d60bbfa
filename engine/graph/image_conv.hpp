// An image_conv as the two ops that it does at once: image_batch, and the conv2d that reads what it makes.
#pragma once

#include "engine/graph/op.hpp"

namespace fer {

/// Inputs 0 to 3, outputs 0 and 1.
OpDesc image_batch_of(const OpDesc& image_conv);
/// Inputs are output 0 and from 4 on; outputs from 2 on.
OpDesc conv2d_of(const OpDesc& image_conv);

}  // namespace fer

// What the epilogues of convolutions and dense layers may apply after the bias.
#pragma once

#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

/// kRelu: max(v, 0). kRelu6: min(max(v, 0), 6). NaN stays NaN in all of them. An output of a ReLU lets its gradient
/// pass where y > 0, of a ReLU6 where 0 < y < 6.
enum class Activation : std::uint8_t { kNone, kRelu, kRelu6 };

}  // namespace fer::FER_PORT

// Kernels in other orders of their axes.
#pragma once

#include <span>
#include <vector>

#include "engine/core/shape.hpp"

namespace fer {

/// Of a tensor of up to four axes: axis i of the result is axis axes[i] of `in`, whose extents are `shape`.
std::vector<float> transposed(std::span<const float> in, const Shape& shape, const std::vector<int>& axes);

}  // namespace fer

#include "engine/interchange/transposed.hpp"

namespace fer {

std::vector<float> transposed(std::span<const float> in, const Shape& shape, const std::vector<int>& axes) {
    std::int64_t extent[4] = {1, 1, 1, 1};
    std::int64_t stride[4] = {0, 0, 0, 0};
    std::int64_t strides[4] = {};
    std::int64_t step = 1;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
        strides[axis] = step;
        step *= shape[axis];
    }
    const std::size_t skip = 4 - axes.size();
    for (std::size_t i = 0; i < axes.size(); ++i) {
        extent[skip + i] = shape[axes[i]];
        stride[skip + i] = strides[axes[i]];
    }
    std::vector<float> out;
    out.reserve(in.size());
    for (std::int64_t a = 0; a < extent[0]; ++a) {
        for (std::int64_t b = 0; b < extent[1]; ++b) {
            for (std::int64_t c = 0; c < extent[2]; ++c) {
                for (std::int64_t d = 0; d < extent[3]; ++d) {
                    out.push_back(
                        in[static_cast<std::size_t>(a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3])]);
                }
            }
        }
    }
    return out;
}

}  // namespace fer

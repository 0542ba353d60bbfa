#include "engine/graph/image_conv.hpp"

namespace fer {
namespace {

/// Those from `first` on, and no more than `most`.
std::vector<TensorInfo> slice(const std::vector<TensorInfo>& infos, std::size_t first, std::size_t most) {
    const std::size_t begin = std::min(first, infos.size());
    const std::size_t end = std::min(begin + most, infos.size());
    return {infos.begin() + static_cast<std::ptrdiff_t>(begin), infos.begin() + static_cast<std::ptrdiff_t>(end)};
}

}  // namespace

OpDesc image_batch_of(const OpDesc& image_conv) {
    OpDesc op = image_conv;
    op.kind = OpKind::kImageBatch;
    op.attrs = image_conv.as<ImageConvAttrs>().images;
    op.in = slice(image_conv.in, 0, 4);
    op.out = slice(image_conv.out, 0, 2);
    op.state.clear();
    return op;
}

OpDesc conv2d_of(const OpDesc& image_conv) {
    OpDesc op = image_conv;
    op.kind = OpKind::kConv2d;
    op.attrs = image_conv.as<ImageConvAttrs>().conv;
    op.in = slice(image_conv.out, 0, 1);
    const std::vector<TensorInfo> rest = slice(image_conv.in, 4, 2);
    op.in.insert(op.in.end(), rest.begin(), rest.end());
    op.out = slice(image_conv.out, 2, 3);
    return op;
}

}  // namespace fer

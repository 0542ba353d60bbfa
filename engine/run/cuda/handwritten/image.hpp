// What the nodes that make the images of a batch share.
#pragma once

#include "engine/plan/implementation.hpp"
#include "kernels/image.hpp"

namespace fer::FER_PORT::handwritten {

/// The arguments of an image_batch but for what is bound when it runs, from its first operands.
ImageBatch image_batch_args(const OpDesc& op);
void bind_images(ImageBatch& a, const Operands& t);

}  // namespace fer::FER_PORT::handwritten

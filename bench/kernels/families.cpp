#include "bench/kernels/families.hpp"

namespace fer::FER_PORT {

std::vector<Case> all_cases(const Layers& layers) {
    Cases cases;
    for (const auto add : {add_convolutions, add_dense, add_depthwise, add_batch_norms, add_elementwise, add_pools,
                           add_images, add_losses, add_optimizers}) {
        add(cases, layers);
    }
    return cases.take();
}

}  // namespace fer::FER_PORT

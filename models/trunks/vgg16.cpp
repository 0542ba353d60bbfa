#include "models/trunks/trunks.hpp"

namespace fer::models {

// Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2014), configuration D.
void vgg16(Net& net) {
    constexpr int kConvolutions[] = {2, 2, 3, 3, 3};
    constexpr int kFilters[] = {64, 128, 256, 512, 512};
    for (int block = 0; block < 5; ++block) {
        for (int i = 0; i < kConvolutions[block]; ++i) {
            net.named(fmt::format("block{}_conv{}", block + 1, i + 1)).conv(kFilters[block], 3).relu();
        }
        net.named(fmt::format("block{}_pool", block + 1)).max_pool();
    }
}

}  // namespace fer::models

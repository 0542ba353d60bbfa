#include "models/models.hpp"

namespace fer::models {

void gap_cnn(Net& net) {
    custom_stack(net);
    net.global_avg_pool().dense(1024).relu().dropout(0.5f);
    net.logits(kClasses);
}

}  // namespace fer::models

// The transfer-learning networks: a trunk of trunks/, partly frozen, and a head for the seven classes.
#include "models/models.hpp"
#include "models/trunks/trunks.hpp"

namespace fer::models {
namespace {

constexpr DenseOptions kHeNormal{.init = Init::kHeNormal};

}  // namespace

// Trained: block5_conv2, block5_conv3 and the head.
void vgg16_tl(Net& net) {
    net.freeze_first(kVgg16Layers - 3);
    vgg16(net);
    net.flatten().dense(1024, kHeNormal).relu().dropout(0.5f);
    net.dense(512, kHeNormal).relu().dropout(0.5f);
    net.logits(kClasses, kHeNormal);
}

// Trained: from conv4_block5_3_conv on, and the head.
void resnet50v2_tl(Net& net) {
    net.freeze_first(kResnet50V2Layers - 50);
    resnet50v2(net);
    net.dropout(0.25f).batch_norm().flatten();
    net.dense(64).relu().batch_norm().dropout(0.5f);
    net.logits(kClasses);
}

void mobilenetv2_tl(Net& net) {
    net.freeze_first(kMobilenetV2Layers);
    mobilenet_v2(net);
    net.global_avg_pool().dense(1024).relu();
    net.logits(kClasses);
}

void resnet50_tl(Net& net) {
    net.freeze_first(kResnet50Layers);
    resnet50(net);
    net.global_avg_pool().dense(128).relu().dropout(0.5f);
    net.logits(kClasses);
}

// VGG16 with its classifier, whose last layer is replaced; only that one is trained.
void vgg16_fc_tl(Net& net) {
    net.freeze_first(kVgg16Layers + 3);
    vgg16(net);
    net.named("flatten").flatten();
    net.named("fc1").dense(4096).relu().named("fc2").dense(4096).relu();
    net.logits(kClasses);
}

}  // namespace fer::models

// A trained network for faces that come a few at a time.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/data/image.hpp"
#include "tools/fer/loaded_model.hpp"

namespace fer::tool {

class Classifier {
public:
    Classifier(const LoadedModel& model, const DeviceFlags& where, int batch)
        : model_(model), where_(where), batch_(batch) {}

    /// (faces, classes). Faces are of the network's size; batches of the given number of them, the last one shorter.
    std::vector<float> probabilities(std::span<const GrayImage> faces);

private:
    void make_room(std::int64_t faces);

    const LoadedModel& model_;
    const DeviceFlags& where_;
    int batch_;
    Dataset data_;
    std::unique_ptr<Session> session_;
};

}  // namespace fer::tool

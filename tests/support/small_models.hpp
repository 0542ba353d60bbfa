// The 48x48 networks, and how any network takes its input.
#pragma once

#include <ostream>
#include <vector>

#include "engine/graph/step.hpp"
#include "models/models.hpp"

namespace fer::models {
inline void PrintTo(const Model& model, std::ostream* out) { *out << model.name; }
}  // namespace fer::models

namespace fer::test {

inline std::vector<models::Model> small_models() {
    std::vector<models::Model> list;
    for (const models::Model& model : models::all()) {
        if (model.height == 48) {
            list.push_back(model);
        }
    }
    return list;
}

/// Those of the reference, which golden files know.
inline std::vector<models::Model> reference_models() {
    std::vector<models::Model> list = small_models();
    std::erase_if(list, [](const models::Model& model) { return model.name.starts_with("fer_"); });
    return list;
}

/// A step of two images of four, of the size the model takes.
inline StepOptions two_images_for(const models::Model& model) {
    StepOptions options;
    options.batch = 2;
    options.input.images = 4;
    options.input.height = model.height;
    options.input.width = model.width;
    options.input.channels = model.channels;
    return options;
}

}  // namespace fer::test

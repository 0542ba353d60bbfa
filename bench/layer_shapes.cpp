#include "bench/layer_shapes.hpp"

#include <algorithm>

#include "engine/graph/step.hpp"
#include "models/models.hpp"

namespace fer::bench {
namespace {

bool same(const OpDesc& a, const OpDesc& b) {
    return a.kind == b.kind && a.attrs == b.attrs && a.in == b.in && a.out == b.out && a.state == b.state;
}

}  // namespace

std::vector<LayerShape> layer_shapes(std::int64_t batch, bool trunks, const std::string& fuse, float width) {
    std::vector<LayerShape> shapes;
    for (const models::Model& model : models::all()) {
        if (model.height != 48 && !trunks) {
            continue;
        }
        StepOptions options;
        options.batch = batch;
        options.fuse = fuse;
        options.width = width;
        options.input.images = batch;
        options.input.height = model.height;
        options.input.width = model.width;
        options.input.channels = model.channels;
        const Step step = training_step(model.build, options);
        for (const Node& node : step.graph.nodes()) {
            OpDesc op = step.graph.describe(node);
            const auto known = std::ranges::find_if(shapes, [&](const LayerShape& s) { return same(s.op, op); });
            if (known != shapes.end()) {
                ++known->times;
            } else {
                std::string where = fmt::format("{}/{}", model.name, op.name);
                shapes.push_back({std::move(where), std::move(op), 1});
            }
        }
    }
    return shapes;
}

}  // namespace fer::bench

// The update of a large layer as soon as its gradient is there, so that it can run beside the rest of the backward
// pass.
#include <algorithm>
#include <numeric>

#include "engine/graph/fuse_rules.hpp"
#include "engine/graph/op_table.hpp"

namespace fer::rewrite {
namespace {

// A second launch costs some microseconds, an update of 2^20 weights about 8 (30 bytes each at 4 TB/s): smaller ones
// stay together.
constexpr std::int64_t kLeastWeights = std::int64_t{1} << 20;

std::int64_t weights(const Graph& graph, ValueId id) { return graph.value(id).info.shape.count(); }

/// The largest parameter if it holds a quarter of all weights and is worth a launch, or -1.
std::ptrdiff_t dominant(const Graph& graph, std::span<const ValueId> parameters) {
    const auto largest = std::ranges::max_element(parameters, {}, [&](ValueId id) { return weights(graph, id); });
    const std::int64_t all = std::accumulate(parameters.begin(), parameters.end(), std::int64_t{0},
                                             [&](std::int64_t sum, ValueId id) { return sum + weights(graph, id); });
    const std::int64_t most = weights(graph, *largest);
    return most >= kLeastWeights && 4 * most >= all ? largest - parameters.begin() : -1;
}

/// Takes the k-th of every `count` values out of `list`, from `first` on.
std::vector<ValueId> take_out(std::vector<ValueId>& list, std::size_t first, std::size_t count, std::ptrdiff_t k) {
    std::vector<ValueId> taken;
    for (std::size_t begin = first; begin < list.size(); begin += count - 1) {
        const auto place = list.begin() + static_cast<std::ptrdiff_t>(begin) + k;
        taken.push_back(*place);
        list.erase(place);
    }
    return taken;
}

bool touches(const Node& node, const std::vector<ValueId>& values) {
    const auto any_of = [&](const std::vector<ValueId>& ids) {
        return std::ranges::any_of(ids, [&](ValueId id) { return std::ranges::count(values, id) > 0; });
    };
    return any_of(node.inputs) || any_of(node.outputs) || any_of(node.state);
}

}  // namespace

// With a loss scale no update may begin before all gradients were looked at.
int prepare_early_update(Graph& step, Graph&) {
    const auto optimizer = std::ranges::find_if(step.nodes(), [](const Node& n) { return is_optimizer(n.kind); });
    if (optimizer == step.nodes().end() || has_loss_scale(step.describe(*optimizer).in)) {
        return 0;
    }
    const std::size_t first = first_gradient(step.describe(*optimizer).in);
    const std::size_t count = optimizer->inputs.size() - first;
    const std::ptrdiff_t k = count < 2 ? -1 : dominant(step, std::span(optimizer->state).first(count));
    if (k < 0) {
        return 0;
    }
    Node early = *optimizer;
    early.name += "_early";
    early.inputs.resize(first);
    early.inputs.push_back(take_out(optimizer->inputs, first, count, k)[0]);
    early.state = take_out(optimizer->state, 0, count, k);
    std::vector<ValueId> touched = early.state;
    touched.push_back(early.inputs.back());
    // Behind the last node that has to do with them.
    auto place = optimizer;
    while (place != step.nodes().begin() && !touches(*(place - 1), touched)) {
        --place;
    }
    step.nodes().insert(place, early);
    number_writers(step);
    return 1;
}

}  // namespace fer::rewrite

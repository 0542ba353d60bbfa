// model.summary(), and what a performance engineer would ask next.
#pragma once

#include <string>

#include "engine/graph/step.hpp"

namespace fer {

/// Keras's table with FLOPs and activation bytes per layer at the step's batch size, then the totals.
/// `step` is an inference step that was built without fusion, so that every layer still has its nodes.
std::string summary_table(const Step& step, const std::string& model);

/// The same as JSON.
std::string summary_json(const Step& step, const std::string& model);

}  // namespace fer

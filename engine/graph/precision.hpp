// Mixed precision: which values of a forward graph are stored in 16 bits, and the casts that makes necessary.
#pragma once

#include <string_view>

#include "engine/graph/graph.hpp"

namespace fer {

/// kTf32 stores float32 and lets products round their operands. Parameters, statistics, loss and updates are float32
/// in all of them.
enum class Precision : std::uint8_t { kFp32, kTf32, kBf16, kFp16 };

std::string_view name_of(Precision precision);
/// UsageError for an unknown name.
Precision precision_named(std::string_view name);

/// Rewrites a forward graph, before it is differentiated: convolutions and dense layers take casts of their operands,
/// what follows them stays in that type, softmax and loss take float32 again. Value ids stay what they were.
/// Returns the number of casts.
int apply_precision(Graph& graph, Precision precision);

}  // namespace fer

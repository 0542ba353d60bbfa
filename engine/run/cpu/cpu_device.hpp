// The CPU: oneDNN where it pays, the naive reference behind it for everything.
#pragma once

#include "engine/plan/implementation.hpp"

namespace fer {

/// `reference_only`: every op by the reference, for checks and for float64.
const Device& cpu_device(bool reference_only = false);

}  // namespace fer

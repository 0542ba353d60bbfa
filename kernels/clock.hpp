// The step's clock: what a captured step depends on besides its data. Four int64 on the device, as ClockField in
// engine/graph/op.hpp has them. step - held is the number of updates: `held` steps only added to the gradients of one
// to come.
#pragma once

#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

enum ClockWord : int { kSeedWord = 0, kStepWord = 1, kCursorWord = 2, kHeldWord = 3, kClockWords = 4 };

}  // namespace fer::FER_PORT

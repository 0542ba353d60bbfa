// Work off the critical path: weight gradients on a second branch of the plan, beside the data gradients.
#pragma once

#include "engine/plan/plan.hpp"

namespace fer {

/// Puts the steps that only the update needs on branch 1.
void assign_branches(Plan& plan);

/// The step up to which what step `s` touches is left alone, so that the other branch need not wait to overwrite it:
/// the next step of branch 1, for a step of that branch; `s` for others.
int last_use_beside(const Plan& plan, int s);

/// Lets values live as long as last_use_beside() says.
void keep_for_branches(Plan& plan);

/// Fills PlanStep::after from the bytes that steps read and write: whatever may conflict is ordered, be it because one
/// needs the other's result or because the arena gives both the same memory.
void order_branches(Plan& plan);

}  // namespace fer

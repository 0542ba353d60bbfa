// One function per command: adds it to the program and tells what running it does.
#pragma once

#include "tools/fer/program.hpp"

namespace fer::tool {

void add_train(Program& program);
void add_evaluate(Program& program);
void add_predict(Program& program);
void add_report(Program& program);
void add_export(Program& program);
void add_import(Program& program);
void add_summary(Program& program);
void add_plan(Program& program);
void add_data(Program& program);
void add_recipe(Program& program);
void add_weights(Program& program);
void add_doctor(Program& program);

}  // namespace fer::tool

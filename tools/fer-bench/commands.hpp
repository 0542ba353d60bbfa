// One function per command: adds it to the program and tells what running it does.
#pragma once

#include "tools/fer/program.hpp"

namespace fer::tool {

void add_run(Program& program);
void add_profile(Program& program);
void add_layer(Program& program);
void add_ops(Program& program);
void add_compare(Program& program);
void add_import_external(Program& program);
void add_nsight(Program& program);

}  // namespace fer::tool

// Hardware faults of a kernel (a guard page touched, a division by zero) become findings instead of ending the program.
#pragma once

namespace fer::emulated {

/// Installs the handlers; cheap to call again.
void catch_traps();

/// Whether the address lies in the guard page below a fiber's stack. (block.cpp)
bool is_stack_guard(const void* address);

}  // namespace fer::emulated

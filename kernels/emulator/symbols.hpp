// From an address in the program to the name and the line a person knows it by.
#pragma once

#include <string>

namespace fer::emulated {

/// "transpose_kernel<float>", without namespaces and parameters.
std::string kernel_name(const void* function);

/// Whether the program can find lines at all: it was built with libbacktrace.
bool has_lines();

/// "transpose.cu:18" for the instruction before `return_address`; for code inlined from port/, the line in the kernel
/// that used it. Without debug information: the object file and the offset, for addr2line.
std::string describe_code(const void* return_address);

}  // namespace fer::emulated

// What the program says besides its results: notes, warnings and errors, all on stderr.
#pragma once

#include <string>

#include "engine/core/error.hpp"

namespace fer::tool {

/// Sets the level from --quiet, --verbose and FER_LOG (0 quiet .. 3 everything) and whether colours are used.
void open_console(bool quiet, bool verbose, bool color);

/// What errors and notes begin with; "fer" until it is called.
void name_program(const std::string& name);

/// Text as it is, on stderr. A stderr that cannot be written stops nothing.
void say(const std::string& text);
void note(const std::string& text);
void warn(const std::string& text);

/// Three lines at most: what, why, what to try. Returns the exit status.
int report(const Error& error);
/// An exception that should not have come this far: asks for a bug report. Returns 1.
int report_internal(const std::string& what);

/// Is this descriptor a terminal that understands cursor movement? False with TERM=dumb or CI set.
bool is_terminal(int descriptor);
/// Colours on that descriptor: a terminal, and NO_COLOR unset.
bool wants_color(int descriptor);

}  // namespace fer::tool

// The program gnuplot, if there is one.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace fer {

/// "gnuplot 5.4 patchlevel 4"; none if there is no gnuplot on the PATH. FER_GNUPLOT names another program.
std::optional<std::string> gnuplot_version();

/// Runs `script` in `folder`. None if it went well, else what gnuplot said.
std::optional<std::string> run_gnuplot(const std::string& script, const std::filesystem::path& folder);

/// A string of gnuplot's: in single quotes, without line ends.
std::string gnuplot_text(const std::string& text);

}  // namespace fer

#include "tools/fer/console.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace fer::tool {
namespace {

std::string& program_name() {
    static std::string name = "fer";
    return name;
}

}  // namespace

void name_program(const std::string& name) { program_name() = name; }

void open_console(bool quiet, bool verbose, bool color) {
    auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_st>(color ? spdlog::color_mode::automatic
                                                                            : spdlog::color_mode::never);
    auto logger = std::make_shared<spdlog::logger>("fer", sink);
    logger->set_pattern(program_name() + ": %^%l%$: %v");
    const char* dial = std::getenv("FER_LOG");
    const int level = quiet ? 0 : dial != nullptr ? std::atoi(dial) : verbose ? 2 : 1;
    logger->set_level(level <= 0 ? spdlog::level::err : level == 1 ? spdlog::level::info : spdlog::level::debug);
    spdlog::set_default_logger(logger);
}

void say(const std::string& text) { static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr)); }
void note(const std::string& text) { spdlog::info(text); }
void warn(const std::string& text) { spdlog::warn(text); }

int report(const Error& error) {
    std::string text = fmt::format("{}: error: {}\n", program_name(), error.what());
    if (!error.why().empty()) {
        text += fmt::format("  {}{}\n", error.why().starts_with("--> ") ? "" : "why: ", error.why());
    }
    if (!error.hint().empty()) {
        text += fmt::format("  try: {}\n", error.hint());
    }
    say(text);
    return static_cast<int>(error.fault());
}

int report_internal(const std::string& what) {
    say(fmt::format(
        "{}: internal error: {}\n  why: this is a bug in fer {}; please report it with the command that led "
        "here\n",
        program_name(), what, FER_VERSION));
    return static_cast<int>(Fault::kInternal);
}

bool is_terminal(int descriptor) {
    const char* term = std::getenv("TERM");
    return ::isatty(descriptor) == 1 && std::getenv("CI") == nullptr &&
           (term == nullptr || std::strcmp(term, "dumb") != 0);
}

bool wants_color(int descriptor) { return is_terminal(descriptor) && std::getenv("NO_COLOR") == nullptr; }

}  // namespace fer::tool

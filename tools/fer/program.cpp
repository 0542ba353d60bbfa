#include "tools/fer/program.hpp"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "engine/core/text.hpp"
#include "engine/run/devices.hpp"
#include "tools/fer/console.hpp"

namespace fer::tool {
namespace {

/// The innermost command that was given: `fer data info` is "info" in "data".
CLI::App& innermost(CLI::App& app) {
    for (CLI::App* command : app.get_subcommands()) {
        return innermost(*command);
    }
    return app;
}

std::string full_name(const CLI::App& app) {
    return app.get_parent() == nullptr ? app.get_name() : full_name(*app.get_parent()) + " " + app.get_name();
}

std::vector<std::string> command_names(CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands({})) {
        names.push_back(command->get_name());
    }
    return names;
}

/// "--lr: 1 required TEXT missing" and the like, as a person would say it.
std::string plain(const std::string& text) {
    if (const std::size_t at = text.find(": 1 required "); at != std::string::npos) {
        return text.substr(0, at) + " needs a value";
    }
    const std::string_view convert = "Could not convert: ";
    if (const std::size_t at = text.find(" = "); text.starts_with(convert) && at != std::string::npos) {
        return fmt::format("{}: '{}' is not a number", text.substr(convert.size(), at - convert.size()),
                           text.substr(at + 3));
    }
    return text;
}

/// CLI11's error in the words of this program: what is unknown, and what comes near it.
UsageError explain(CLI::App& app, const CLI::ParseError& error) {
    CLI::App& command = innermost(app);
    const std::string name = full_name(command);
    const std::string where = command.get_parent() == nullptr ? "" : name + ": ";
    const std::vector<std::string> words = app.remaining(true);
    const auto option = std::ranges::find_if(words, [](const std::string& w) { return w.starts_with("-"); });
    const std::vector<std::string> commands = command_names(command);
    const auto with_hint = [&](const std::string& what, const std::string& word, const auto& candidates) {
        const std::string near = nearest(word, candidates);
        UsageError result(what);
        result.try_this(near.empty() ? name + " --help" : fmt::format("did you mean '{}'?", near));
        return result;
    };
    if (option != words.end()) {
        std::vector<std::string> flags;
        for (const CLI::App* owner : {&command, &app}) {
            for (const CLI::Option* known : owner->get_options()) {
                for (const std::string& flag : known->get_lnames()) {
                    flags.push_back("--" + flag);
                }
            }
        }
        const std::string flag = option->substr(0, option->find('='));
        return with_hint(fmt::format("{}unknown option '{}'", where, flag), flag, flags);
    }
    if (!words.empty() && !commands.empty()) {
        return with_hint(fmt::format("{}unknown command '{}'", where, words.front()), words.front(), commands);
    }
    if (!words.empty()) {
        return UsageError(fmt::format("{}unexpected argument '{}'", where, words.front())).try_this(name + " --help");
    }
    if (!commands.empty() && command.get_subcommands().empty()) {
        return UsageError(fmt::format("{}which command?", where))
            .because(fmt::format("one of: {}", fmt::join(commands, ", ")))
            .try_this(name + " --help");
    }
    return UsageError(fmt::format("{}{}", where, plain(error.what()))).try_this(name + " --help");
}

/// Results may still wait in the buffer: a full disk behind stdout must not pass for success.
void flush_results() {
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
        throw OutputError("cannot write the results to stdout").because(std::strerror(errno));
    }
}

/// A closed standard stream would lend its number to the next file that is opened, and be written into it.
void open_standard_streams() {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(fd, F_GETFD) < 0) {
            static_cast<void>(::open("/dev/null", O_RDWR));
        }
    }
}

int run(const std::string& name, void (*build)(Program&), int argc, char** argv) {
    open_standard_streams();
    std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is then an error of write(), told like a full disk
    Program program;
    for (int i = 0; i < argc; ++i) {
        program.command_line += (i > 0 ? " " : "") + std::string(i == 0 ? name : argv[i]);
    }
    CLI::App& app = program.app;
    app.name(name);
    app.require_subcommand(1);
    app.set_version_flag("--version",
                         fmt::format("{} {} (devices: {})", name, FER_VERSION, fmt::join(device_names(), ", ")));
    app.add_flag("-q,--quiet", program.quiet, "results and errors only");
    app.add_flag("-v,--verbose", program.verbose, "more notes");
    app.add_flag("--no-color", program.no_color, "no colours");
    app.add_option("--threads", program.threads, "CPU threads (default: all)")->check(CLI::Range(1, 1024));
    app.fallthrough();
    build(program);
    try {
        program.app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) {
            return program.app.exit(error);  // --help, --version
        }
        throw explain(program.app, error);
    }
    open_console(program.quiet, program.verbose, !program.no_color && wants_color(STDERR_FILENO));
    if (program.threads > 0) {
        omp_set_num_threads(program.threads);
    }
    const int status = program.run();
    flush_results();
    return status;
}

}  // namespace

CLI::Validator one_of(std::vector<std::string> choices) {
    return {[choices = std::move(choices)](std::string& word) -> std::string {
                if (std::ranges::count(choices, word) > 0) {
                    return {};
                }
                const std::string near = nearest(word, choices);
                return fmt::format("unknown value '{}'; {}", word,
                                   near.empty() ? fmt::format("one of {}", fmt::join(choices, ", "))
                                                : fmt::format("did you mean '{}'?", near));
            },
            ""};
}

int run_program(const char* name, void (*build)(Program&), int argc, char** argv) {
    try {
        name_program(name);
        return run(name, build, argc, argv);
    } catch (const Error& error) {
        return error.fault() == Fault::kInternal ? report_internal(error.what()) : report(error);
    } catch (const std::bad_alloc&) {
        return report(MemoryError("out of memory").try_this("a smaller --batch"));
    } catch (const std::system_error& error) {
        if (std::ferror(stdout) != 0) {
            return report(OutputError("cannot write the results to stdout").because(error.code().message()));
        }
        return report_internal(error.what());
    } catch (const std::exception& error) {
        return report_internal(error.what());
    }
}

}  // namespace fer::tool

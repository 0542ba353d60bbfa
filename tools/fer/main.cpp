// fer: train, evaluate and look at the FER2013 networks.
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
#include "tools/fer/commands.hpp"
#include "tools/fer/console.hpp"

namespace {

using fer::tool::Program;

constexpr const char* kExamples =
    "fer: train and run the FER2013 emotion networks\n\n"
    "  fer train simpler_cnn --data fer2013.zip\n"
    "  fer evaluate runs/train/latest\n"
    "  fer predict runs/train/latest face.jpg\n";

void build(Program& program) {
    CLI::App& app = program.app;
    app.description(kExamples);
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string("fer ") + FER_VERSION +
                                          fmt::format(" (devices: {})", fmt::join(fer::device_names(), ", ")));
    app.add_flag("-q,--quiet", program.quiet, "results and errors only");
    app.add_flag("-v,--verbose", program.verbose, "more notes");
    app.add_flag("--no-color", program.no_color, "no colours");
    app.add_option("--threads", program.threads, "CPU threads (default: all)")->check(CLI::Range(1, 1024));
    app.fallthrough();
    fer::tool::add_train(program);
    fer::tool::add_evaluate(program);
    fer::tool::add_predict(program);
    fer::tool::add_report(program);
    fer::tool::add_import(program);
    fer::tool::add_export(program);
    fer::tool::add_summary(program);
    fer::tool::add_plan(program);
    fer::tool::add_data(program);
    fer::tool::add_recipe(program);
    fer::tool::add_weights(program);
    fer::tool::add_doctor(program);
}

/// The innermost command that was given: `fer data info` is "info" in "data".
CLI::App& innermost(CLI::App& app) {
    for (CLI::App* command : app.get_subcommands()) {
        return innermost(*command);
    }
    return app;
}

std::string full_name(const CLI::App& app) {
    return app.get_parent() == nullptr ? "fer" : full_name(*app.get_parent()) + " " + app.get_name();
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
fer::UsageError explain(CLI::App& app, const CLI::ParseError& error) {
    CLI::App& command = innermost(app);
    const std::string name = full_name(command);
    const std::string where = name == "fer" ? "" : name + ": ";
    const std::vector<std::string> words = app.remaining(true);
    const auto option = std::ranges::find_if(words, [](const std::string& w) { return w.starts_with("-"); });
    const std::vector<std::string> commands = command_names(command);
    const auto with_hint = [&](const std::string& what, const std::string& word, const auto& candidates) {
        const std::string near = fer::nearest(word, candidates);
        fer::UsageError result(what);
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
        return fer::UsageError(fmt::format("{}unexpected argument '{}'", where, words.front()))
            .try_this(name + " --help");
    }
    if (!commands.empty() && command.get_subcommands().empty()) {
        return fer::UsageError(fmt::format("{}which command?", where))
            .because(fmt::format("one of: {}", fmt::join(commands, ", ")))
            .try_this(name + " --help");
    }
    return fer::UsageError(fmt::format("{}{}", where, plain(error.what()))).try_this(name + " --help");
}

/// Results may still wait in the buffer: a full disk behind stdout must not pass for success.
void flush_results() {
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
        throw fer::OutputError("cannot write the results to stdout").because(std::strerror(errno));
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

int run(int argc, char** argv) {
    open_standard_streams();
    std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is then an error of write(), told like a full disk
    Program program;
    for (int i = 0; i < argc; ++i) {
        program.command_line += (i > 0 ? " " : "") + std::string(i == 0 ? "fer" : argv[i]);
    }
    build(program);
    try {
        program.app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) {
            return program.app.exit(error);  // --help, --version
        }
        throw explain(program.app, error);
    }
    fer::tool::open_console(program.quiet, program.verbose, !program.no_color && fer::tool::wants_color(STDERR_FILENO));
    if (program.threads > 0) {
        omp_set_num_threads(program.threads);
    }
    const int status = program.run();
    flush_results();
    return status;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const fer::Error& error) {
        return error.fault() == fer::Fault::kInternal ? fer::tool::report_internal(error.what())
                                                      : fer::tool::report(error);
    } catch (const std::bad_alloc&) {
        return fer::tool::report(fer::MemoryError("out of memory").try_this("a smaller --batch"));
    } catch (const std::system_error& error) {
        if (std::ferror(stdout) != 0) {
            return fer::tool::report(
                fer::OutputError("cannot write the results to stdout").because(error.code().message()));
        }
        return fer::tool::report_internal(error.what());
    } catch (const std::exception& error) {
        return fer::tool::report_internal(error.what());
    }
}

// fer: train, evaluate and look at the FER2013 networks.
#include <omp.h>
#include <unistd.h>

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
    app.set_version_flag("--version", std::string("fer ") + FER_VERSION + " (cpu: oneDNN)");
    app.add_flag("-q,--quiet", program.quiet, "results and errors only");
    app.add_flag("-v,--verbose", program.verbose, "more notes");
    app.add_flag("--no-color", program.no_color, "no colours");
    app.add_option("--threads", program.threads, "CPU threads (default: all)")->check(CLI::Range(1, 1024));
    app.fallthrough();
    fer::tool::add_train(program);
    fer::tool::add_evaluate(program);
    fer::tool::add_predict(program);
    fer::tool::add_summary(program);
    fer::tool::add_plan(program);
    fer::tool::add_data(program);
    fer::tool::add_recipe(program);
}

int run(int argc, char** argv) {
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
        throw fer::UsageError(error.what()).try_this("fer --help, or fer COMMAND --help");
    }
    fer::tool::open_console(program.quiet, program.verbose, !program.no_color && fer::tool::wants_color(STDERR_FILENO));
    if (program.threads > 0) {
        omp_set_num_threads(program.threads);
    }
    return program.run();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const fer::Error& error) {
        return error.fault() == fer::Fault::kInternal ? fer::tool::report_internal(error.what()) : fer::tool::report(error);
    } catch (const std::bad_alloc&) {
        return fer::tool::report(fer::MemoryError("out of memory").try_this("a smaller --batch"));
    } catch (const std::exception& error) {
        return fer::tool::report_internal(error.what());
    }
}

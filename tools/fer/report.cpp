// One page about a run, or several side by side.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "engine/core/file.hpp"
#include "engine/report/report.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/console.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

struct ReportFlags {
    std::vector<std::string> runs;
    std::string format = "all", out;
    bool open = false;
};

/// Hands the page to the desktop; without one, says how to look at it.
void show(const fs::path& page) {
    const auto set = [](const char* name) { return std::getenv(name) != nullptr && *std::getenv(name) != '\0'; };
    int status = -1;
    if (set("DISPLAY") || set("WAYLAND_DISPLAY")) {
        const pid_t pid = ::fork();
        if (pid == 0) {
            ::execlp("xdg-open", "xdg-open", page.c_str(), static_cast<char*>(nullptr));
            ::_exit(127);
        }
        if (pid < 0 || ::waitpid(pid, &status, 0) != pid) {
            status = -1;
        }
    }
    if (status != 0) {
        warn(fmt::format("there is no display to open it on: copy {} to where a browser is", page.string()));
    }
}

int report(const Program& program, const ReportFlags& flags) {
    std::vector<RunRecord> runs;
    for (const std::string& run : flags.runs) {
        runs.push_back(read_run(run));
    }
    const fs::path folder = !flags.out.empty() ? fs::path(flags.out)
                            : runs.size() == 1 ? runs[0].folder
                                               : fs::path(".");
    const Report made = make_report(std::move(runs));
    if (!made.without_pictures.empty()) {
        warn(made.without_pictures);
    }
    const bool all = flags.format == "all";
    make_folder(folder);
    const std::vector<const Plot*> plots = made.drawn();
    if (!plots.empty() && flags.format != "json") {
        make_folder(folder / "plots");
        for (const Plot* plot : plots) {
            write_file(folder / "plots" / (plot->name + ".svg"), plot->svg);
            write_file(folder / "plots" / (plot->name + ".png"), plot->png);
        }
    }
    std::vector<std::string> saved;
    const auto save = [&](const char* name, const std::string& text) {
        write_file(folder / name, text);
        saved.push_back((folder / name).lexically_normal().string());
    };
    if (all || flags.format == "html") {
        save("report.html", report_html(made));
    }
    if (all || flags.format == "md") {
        save("report.md", report_markdown(made, "plots"));
    }
    if (all || flags.format == "json") {
        save("report.json", report_json(made));
    }
    fmt::print("saved {}\n", fmt::join(saved, ", "));
    if (flags.open && (all || flags.format == "html") && !program.quiet) {
        show(folder / "report.html");
    }
    return 0;
}

}  // namespace

void add_report(Program& program) {
    auto flags = std::make_shared<ReportFlags>();
    CLI::App* command = program.app.add_subcommand("report", "one page about a run, or several side by side");
    command->add_option("runs", flags->runs, "run folders")->required();
    command->add_option("--format", flags->format, "all | html | md | json")
        ->check(one_of({"all", "html", "md", "json"}))
        ->capture_default_str();
    command->add_option("--out", flags->out, "folder for the files (default: the run's; of several: this one)");
    command->add_flag("--open", flags->open, "show the page in a browser");
    command->callback([&program, flags] { program.run = [&program, flags] { return report(program, *flags); }; });
}

}  // namespace fer::tool

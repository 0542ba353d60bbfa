// The official pretrained files: listed, found, downloaded, verified.
#include "engine/core/text.hpp"
#include "engine/fetch/download.hpp"
#include "engine/fetch/official.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/console.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

struct WeightsFlags {
    std::string name, mirror;
    int stall_seconds = 30;
};

fs::path place_of(const OfficialFile& file) { return keras_cache() / file.file; }

std::string hash_text(const OfficialFile& file) {
    return file.md5.empty() ? fmt::format("SHA-256 {}", file.sha256) : fmt::format("MD5 {}", file.md5);
}

std::string size_text(const OfficialFile& file) {
    return file.bytes == 0 ? "size unknown" : thousands(static_cast<long long>(file.bytes)) + " bytes";
}

int list() {
    for (const OfficialFile& file : official_files()) {
        const bool here = fs::exists(place_of(file));
        fmt::print("{:<18} {:<15} {:>17}  {:<8} {}\n", file.name, file.model, size_text(file), here ? "here" : "-",
                   file.file);
    }
    fmt::print("kept in {}\n", keras_cache().string());
    return 0;
}

int path(const WeightsFlags& flags) {
    const OfficialFile& file = find_official(flags.name);
    if (!fs::exists(place_of(file))) {
        throw DataError(fmt::format("{} is not there yet", file.name))
            .because(fmt::format("there is no {}", place_of(file).string()))
            .try_this(fmt::format("fer weights get {}", file.name));
    }
    fmt::print("{}\n", place_of(file).string());
    return 0;
}

/// Without a network a person can still carry the file here.
[[noreturn]] void tell_by_hand(const OfficialFile& file, const NetworkError& error, const std::string& url) {
    throw NetworkError(error.what())
        .because(error.why())
        .try_this(fmt::format("put {} ({}, {}) at {}", url, size_text(file), hash_text(file), place_of(file).string()));
}

int get(const Program& program, const WeightsFlags& flags) {
    const OfficialFile& file = find_official(flags.name);
    const fs::path to = place_of(file);
    const auto check = [&](const fs::path& at) { return difference_from_official(at, file); };
    if (fs::exists(to)) {
        const std::string difference = check(to);
        if (!difference.empty()) {
            throw DataError(fmt::format("the file kept for {} is not the official one", file.name))
                .because(difference)
                .try_this(fmt::format("move {} away, then fer weights get {}", to.string(), file.name));
        }
        fmt::print("{}\n", to.string());
        return 0;
    }
    const std::string url = url_of(file, flags.mirror);
    const bool shows = !program.quiet && is_terminal(2);
    note(fmt::format("downloading {} ({})", url, size_text(file)));
    Download what{.url = url, .to = to, .bytes = file.bytes, .check = check};
    what.stall_seconds = flags.stall_seconds;
    if (shows) {
        what.progress = [](std::uint64_t now, std::uint64_t all) {
            say(all == 0 ? fmt::format("\r{:.1f} MB", static_cast<double>(now) * 1e-6)
                         : fmt::format("\r{:.1f} of {:.1f} MB", static_cast<double>(now) * 1e-6,
                                       static_cast<double>(all) * 1e-6));
        };
    }
    try {
        download(what);
    } catch (const NetworkError& error) {
        tell_by_hand(file, error, url);
    }
    say(shows ? "\n" : "");
    fmt::print("{}\n", to.string());
    return 0;
}

/// A file by its own name, or by the name that was given.
int verify(const WeightsFlags& flags) {
    const fs::path at = flags.name;
    if (!fs::is_regular_file(at)) {
        throw DataError(fmt::format("no such file: {}", at.string()));
    }
    for (const OfficialFile& file : official_files()) {
        if (at.filename() == file.file) {
            const std::string difference = difference_from_official(at, file);
            if (!difference.empty()) {
                throw GateError(fmt::format("this is not the official {}", file.name)).because(difference);
            }
            fmt::print("{} is the official {} ({})\n", at.string(), file.name, hash_text(file));
            return 0;
        }
    }
    throw DataError(fmt::format("{} has the name of no official file", at.filename().string()))
        .try_this("fer weights list shows them");
}

}  // namespace

void add_weights(Program& program) {
    auto flags = std::make_shared<WeightsFlags>();
    CLI::App* command = program.app.add_subcommand("weights", "the official pretrained files");
    command->require_subcommand(1);
    command->add_subcommand("list", "names, sizes, and which are here")->callback([&program] {
        program.run = [] { return list(); };
    });
    CLI::App* fetch = command->add_subcommand("get", "download one, checked by its hash, unless it is here");
    fetch->add_option("name", flags->name, "as fer weights list shows it")->required();
    fetch->add_option("--mirror", flags->mirror, "URL of a folder laid out as the official one");
    fetch->add_option("--stall-seconds", flags->stall_seconds, "give up a connection that is silent so long")
        ->check(CLI::Range(1, 3600))
        ->capture_default_str();
    fetch->callback([&program, flags] { program.run = [&program, flags] { return get(program, *flags); }; });
    CLI::App* where = command->add_subcommand("path", "where one is");
    where->add_option("name", flags->name, "as fer weights list shows it")->required();
    where->callback([&program, flags] { program.run = [flags] { return path(*flags); }; });
    CLI::App* check = command->add_subcommand("verify", "is this file what it is called?");
    check->add_option("file", flags->name, "under its official name")->required();
    check->callback([&program, flags] { program.run = [flags] { return verify(*flags); }; });
}

}  // namespace fer::tool

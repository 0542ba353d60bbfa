// What this machine and this build can do, one line each, with what would mend it.
#include <filesystem>

#include "engine/core/file.hpp"
#include "engine/core/text.hpp"
#include "engine/data/dataset.hpp"
#include "engine/data/split.hpp"
#include "engine/fetch/official.hpp"
#include "engine/report/gnuplot.hpp"
#include "engine/run/devices.hpp"
#include "engine/vision/vision.hpp"
#include "tools/fer/commands.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

class Findings {
public:
    void ok(const std::string& what, const std::string& text) { line("ok", what, text); }
    void warn(const std::string& what, const std::string& text, const std::string& fix) {
        line("warn", what, text);
        fmt::print("                fix: {}\n", fix);
    }
    void fail(const std::string& what, const std::string& text, const std::string& fix) {
        failed_ = true;
        line("fail", what, text);
        fmt::print("                fix: {}\n", fix);
    }
    bool failed() const { return failed_; }

private:
    static void line(const char* verdict, const std::string& what, const std::string& text) {
        fmt::print("{:<4}  {:<8}  {}\n", verdict, what, text);
    }
    bool failed_ = false;
};

const char* device_fix(std::string_view name) {
    const auto built = device_names();
    if (name == "emulated") {
        return "bash tools/setup.sh test, then build again";
    }
    return std::ranges::count(built, name) == 0
               ? "install the CUDA toolkit (nvcc), then build again"
               : "install NVIDIA's driver where there is a GPU; --device cpu works without";
}

void check_devices(Findings& findings) {
    for (const std::string_view name : {"cpu", "cuda", "emulated"}) {
        try {
            findings.ok(std::string(name), open_runtime(find_device(name)).description());
        } catch (const DeviceError& error) {
            const std::string why = error.why().empty() ? "" : fmt::format(" ({})", error.why());
            findings.warn(std::string(name), error.what() + why, device_fix(name));
        }
    }
}

/// What is not needed to train: pictures of reports, faces in photographs.
void check_helpers(Findings& findings) {
    if (const auto version = gnuplot_version()) {
        findings.ok("gnuplot", *version + " draws the plots of fer report");
    } else {
        findings.warn("gnuplot", "not installed: reports have tables, but no plots", "apt-get install gnuplot-nox");
    }
    if (const auto missing = vision_missing()) {
        findings.warn("opencv", fmt::format("{}: fer predict takes each picture as one face", *missing),
                      "bash tools/setup.sh opencv, then build again");
    } else if (default_cascade().empty()) {
        findings.warn("opencv", vision().version() + " is there, but no face cascade",
                      "apt-get install opencv-data, or FER_CASCADE=FILE");
    } else {
        findings.ok("opencv",
                    fmt::format("{}, faces by {}", vision().version(), default_cascade().filename().string()));
    }
    const auto weights = official_files();
    const auto here =
        std::ranges::count_if(weights, [](const OfficialFile& w) { return fs::exists(keras_cache() / w.file); });
    findings.ok("weights", fmt::format("{} of {} pretrained files are here; only transfer learning needs them (fer "
                                       "weights list)",
                                       here, weights.size()));
}

/// Decoded images are kept in the cache, runs in the working directory.
void check_folder(Findings& findings, const std::string& what, const fs::path& folder) {
    try {
        make_folder(folder);
        const fs::path probe = folder / ".fer-doctor";
        write_file(probe, "");
        fs::remove(probe);
        const auto free = static_cast<double>(fs::space(folder).available) * 1e-9;
        if (free < 1) {
            findings.warn(what, fmt::format("{}: {:.2f} GB free", folder.string(), free), "make room: 1 GB is plenty");
        } else {
            findings.ok(what, fmt::format("{}: writable, {:.0f} GB free", folder.string(), free));
        }
    } catch (const Error& error) {
        findings.warn(what, error.what(), "make it writable, or name another place (FER_CACHE, --out)");
    }
}

void check_data(Findings& findings, const std::string& source) {
    try {
        const Dataset data = open_dataset(source);
        const Split split = split_folder(data, 0.2);
        findings.ok("data", fmt::format("{}: {} train / {} val / {} test, {} classes, {}x{}", source,
                                        thousands(static_cast<long long>(split.train.size())),
                                        thousands(static_cast<long long>(split.validation.size())),
                                        thousands(static_cast<long long>(split.test.size())), data.classes.size(),
                                        data.height, data.width));
        if (!data.skipped.empty()) {
            findings.warn("data", fmt::format("{} files left out; the first: {}", data.skipped.size(), data.skipped[0]),
                          "fer data info lists them; delete or replace them");
        }
        const bool both = std::ranges::count(data.usage, Usage::kPublicTest) > 0 &&
                          std::ranges::count(data.usage, Usage::kPrivateTest) > 0;
        if (both) {
            findings.warn("data", "test/ mixes PublicTest and PrivateTest",
                          "--split official keeps them apart, for figures to compare with papers");
        }
    } catch (const Error& error) {
        findings.fail("data", error.what(), error.hint().empty() ? error.why() : error.hint());
    }
}

int doctor(const std::string& data) {
    Findings findings;
    findings.ok("fer", fmt::format("{}, built with devices {}", FER_VERSION, fmt::join(device_names(), ", ")));
    check_devices(findings);
    if (const std::string libraries = library_versions(); libraries.find("no ") != std::string::npos) {
        findings.warn("library", libraries + ": handwritten kernels run instead",
                      "install it, or name the file: FER_CUDNN, FER_CUBLASLT");
    } else if (!libraries.empty()) {
        findings.ok("library", libraries);
    }
    const fs::path cache = default_cache_folder();
    if (cache.empty()) {
        findings.warn("cache", "no place for decoded images: neither FER_CACHE nor HOME is set", "set FER_CACHE");
    } else {
        check_folder(findings, "cache", cache);
    }
    check_folder(findings, "runs", fs::current_path());
    check_helpers(findings);
    if (!data.empty()) {
        check_data(findings, data);
    }
    return findings.failed() ? 3 : 0;
}

}  // namespace

void add_doctor(Program& program) {
    CLI::App* command =
        program.app.add_subcommand("doctor", "what this machine can do, and how to mend what it cannot");
    auto data = std::make_shared<std::string>();
    command->add_option("--data", *data, "also look at a data set: folder, .zip, .csv or synthetic[:N]");
    command->callback([&program, data] { program.run = [data] { return doctor(*data); }; });
}

}  // namespace fer::tool

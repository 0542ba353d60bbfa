#include "engine/train/run_folder.hpp"

#include <fcntl.h>
#include <omp.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/chrono.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/core/file.hpp"

namespace fer {
namespace fs = std::filesystem;

fs::path make_run_folder(const fs::path& out, const std::string& name, bool exist_ok) {
    make_folder(out);
    fs::path folder = out / name;
    std::error_code error;
    for (int number = 2; !exist_ok && !fs::create_directory(folder, error); ++number) {
        if (error) {
            throw OutputError(fmt::format("cannot create the folder {}", folder.string())).because(error.message());
        }
        folder = out / fmt::format("{}-{}", name, number);
    }
    make_folder(folder);
    const fs::path link = out / "latest";
    const fs::path temporary = out / fmt::format(".latest-{}", ::getpid());
    fs::create_directory_symlink(folder.filename(), temporary, error);
    if (!error) {
        fs::rename(temporary, link, error);
    }
    if (error) {
        fs::remove(temporary, error);  // a convenience: its lack harms nothing
    }
    return folder;
}

fs::path find_weights(const fs::path& path, const std::string& prefer) {
    if (!fs::is_directory(path)) {
        if (!fs::exists(path)) {
            throw DataError(fmt::format("no such run or weights file: {}", path.string()))
                .try_this("ls runs/train shows the runs made here");
        }
        return path;
    }
    for (const std::string& name : {prefer, std::string("best"), std::string("last")}) {
        fs::path weights = path / "weights" / (name + ".safetensors");
        if (fs::exists(weights)) {
            return weights;
        }
    }
    throw DataError(fmt::format("{} holds no weights", path.string()))
        .because("weights/best.safetensors and weights/last.safetensors are missing: was its first epoch finished?");
}

namespace {

/// Weights that a killed process did not finish writing: AtomicFile's names of files that have none yet.
void remove_unfinished(const fs::path& folder) {
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
        if (entry.path().filename().string().starts_with(".fer-")) {
            fs::remove(entry.path(), ignored);
        }
    }
}

}  // namespace

RunLock::RunLock(const fs::path& folder) {
    const fs::path path = folder / ".lock";
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0) {
        throw OutputError(fmt::format("cannot write into {}", folder.string()))
            .because(fmt::format("{}: {}", path.string(), std::strerror(errno)))
            .try_this("another folder with --out, or write access to this one");
    }
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
        char owner[32] = "";
        const ::ssize_t count = ::read(fd_, owner, sizeof owner - 1);
        ::close(fd_);
        throw OutputError(fmt::format("another fer is writing into {}", folder.string()))
            .because(fmt::format("process {} holds {}",
                                 std::string(owner, static_cast<std::size_t>(std::max<::ssize_t>(count, 0))),
                                 path.string()))
            .try_this("wait until it ends, or another --name");
    }
    const std::string own = std::to_string(::getpid());
    if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, own.data(), own.size(), 0) != static_cast<::ssize_t>(own.size())) {
        const std::string reason = std::strerror(errno);
        ::close(fd_);
        throw OutputError(fmt::format("cannot write {}", path.string())).because(reason);
    }
    remove_unfinished(folder / "weights");
}

RunLock::~RunLock() { ::close(fd_); }

void write_manifest(const fs::path& folder, const Manifest& manifest, const Config& config, const Progress& progress) {
    char host[256] = "";
    ::gethostname(host, sizeof host - 1);
    const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    nlohmann::ordered_json json{
        {"format", 1},
        {"fer", FER_VERSION},
        {"command", manifest.command},
        {"exit_reason", manifest.exit_reason},
        {"written", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", *std::gmtime(&now))},
        {"wall_s", manifest.seconds},
        {"host", host},
        {"device", manifest.device},
        {"hardware", manifest.hardware},
        {"threads", omp_get_max_threads()},
        {"precision", manifest.precision},
        {"model", config.train.model},
        {"parameters", manifest.parameters},
        {"recipe", config.recipe},
        {"seed", config.train.seed},
        {"data",
         {{"path", config.data.path},
          {"fingerprint", manifest.data_fingerprint},
          {"split", manifest.split},
          {"train", manifest.train_images},
          {"validation", manifest.validation_images},
          {"test", manifest.test_images}}},
        {"epochs_done", progress.epoch},
        {"best", {{"epoch", progress.best.best_epoch + 1}, {"monitor", config.checkpoint.monitor}}}};
    // A path or command line need not be UTF-8; JSON must be.
    write_file(folder / "run.json", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace fer

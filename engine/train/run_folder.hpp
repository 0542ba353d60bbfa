// The folder a run writes: found, made, described.
#pragma once

#include <filesystem>
#include <string>

#include "engine/train/trainer.hpp"

namespace fer {

/// `out`/`name`, or `name`-2, -3, ... if it exists; with `exist_ok` the existing one. Also points `out`/latest at it.
/// OutputError if it cannot be made.
std::filesystem::path make_run_folder(const std::filesystem::path& out, const std::string& name, bool exist_ok);

/// A run folder or a file in it, as given on a command line: the folder if `path` is one, else the path itself.
/// DataError if there is no such thing. `prefer` is "best" or "last".
std::filesystem::path find_weights(const std::filesystem::path& path, const std::string& prefer = "best");

/// One writer per run folder: holds FOLDER/.lock until it is destroyed or the process ends, however it ends. Removes
/// what one that was killed had not finished writing.
class RunLock {
public:
    /// OutputError, naming the other's process, if somebody else holds it, or if the folder cannot be written.
    explicit RunLock(const std::filesystem::path& folder);
    ~RunLock();
    RunLock(const RunLock&) = delete;
    RunLock& operator=(const RunLock&) = delete;

private:
    int fd_ = -1;
};

struct Manifest {
    std::string command;
    std::string exit_reason = "running";  // running | finished | stopped early | interrupted | failed: ...
    double seconds = 0;
    std::int64_t train_images = 0, validation_images = 0, test_images = 0;
    std::int64_t parameters = 0;
    std::string data_fingerprint;
    std::string split;
    std::string device, hardware, precision;
};

/// run.json: what ran, on what, and how it ended.
void write_manifest(const std::filesystem::path& folder, const Manifest& manifest, const Config& config,
                    const Progress& progress);

}  // namespace fer

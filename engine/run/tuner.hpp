// Times the implementations that accept a node, once for every shape on every device, and remembers them in a file.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/plan/plan.hpp"
#include "engine/run/runtime.hpp"

namespace fer {

/// The file: {"format": 1, "devices": {"<Runtime::tuning_key()>": {"<node_key()>": [["<implementation>", us], ...]}}}.
/// Many devices share one; it may be copied to other machines. Read whole, written atomically.
class TuneFile {
public:
    /// A file that does not exist is empty. DataError: not such a file, or one of another format.
    explicit TuneFile(std::filesystem::path path);

    const std::filesystem::path& path() const { return path_; }
    std::vector<std::string> devices() const;
    /// Empty for a device that is not in it.
    Timings timings(const std::string& device) const;
    /// Adds to what the file holds by now, which other processes may have changed. Throws OutputError.
    void add(const std::string& device, const Timings& timings);

private:
    void read();

    std::filesystem::path path_;
    std::map<std::string, Timings> all_;
};

class Tuner {
public:
    /// `file`: empty to remember nothing beyond this process.
    Tuner(const Device& device, Runtime& runtime, const std::filesystem::path& file);

    /// Measures every node of `graph` that has a choice and was not measured yet, on random operands, and saves.
    /// A candidate whose results differ from the first one's by more than their types explain is left out. Returns how
    /// many nodes were measured.
    int tune(const Graph& graph);
    /// What is known by now; grows with tune().
    std::shared_ptr<const Timings> timings() const { return timings_; }
    /// Candidates that were left out, and a file that could not be read or written: one sentence each.
    const std::vector<std::string>& findings() const { return findings_; }

private:
    std::vector<Timing> measure(const OpDesc& op);

    const Device& device_;
    Runtime& runtime_;
    std::unique_ptr<TuneFile> file_;
    std::shared_ptr<Timings> timings_ = std::make_shared<Timings>();
    std::vector<std::string> findings_;
};

}  // namespace fer

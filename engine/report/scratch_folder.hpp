// A temporary folder for the length of a scope.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "engine/core/error.hpp"

namespace fer {

/// OutputError if it cannot be made.
class ScratchFolder {
public:
    ScratchFolder() : path_((std::filesystem::temp_directory_path() / "fer-plots-XXXXXX").string()) {
        if (::mkdtemp(path_.data()) == nullptr) {
            throw OutputError(fmt::format("cannot create the folder {}", path_)).try_this("TMPDIR names another place");
        }
    }
    ~ScratchFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;

    std::filesystem::path operator/(const char* name) const { return std::filesystem::path(path_) / name; }

    const std::string& path() const { return path_; }

private:
    std::string path_;
};

}  // namespace fer

// One file over HTTP.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace fer {

struct Download {
    std::string url;
    std::filesystem::path to;
    std::uint64_t bytes = 0;  // 0: not known
    /// What is wrong with the finished file; empty: nothing. It is not put in place before this agrees.
    std::function<std::string(const std::filesystem::path&)> check = {};
    /// Bytes so far and in all (0: not known).
    std::function<void(std::uint64_t, std::uint64_t)> progress = {};
    int stall_seconds = 30;  // without a byte
    int attempts = 3;
};

/// Follows up to five redirects within http and https, honours the proxy variables, resumes from TO.part, and renames
/// it to TO once it is whole and checked. A connection that breaks off or stalls is tried again from where it stopped;
/// a server that cannot resume is asked for all of it. NetworkError: which URL, why; a partial file stays for the next
/// time, one with wrong bytes does not. OutputError if the folder cannot be written.
void download(const Download& what);

}  // namespace fer

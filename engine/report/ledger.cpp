#include "engine/report/ledger.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

#include "engine/core/error.hpp"

namespace fer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string line_of(const LedgerEntry& entry) {
    const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    Json json{{"when", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", *std::gmtime(&now))},
              {"split", entry.split},
              {"images", entry.images},
              {"hits", entry.hits},
              {"data", entry.data},
              {"fingerprint", entry.fingerprint},
              {"weights", entry.weights},
              {"weights_hash", entry.weights_hash},
              {"chose_best_epoch", entry.chose_best_epoch},
              {"command", entry.command},
              {"fer", FER_VERSION}};
    if (!entry.usage.empty()) {
        json["usage"] = entry.usage;
    }
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// A file descriptor for a scope.
struct Descriptor {
    int fd;
    ~Descriptor() {
        if (fd >= 0) {
            ::close(fd);
        }
    }
};

}  // namespace

fs::path ledger_of(const fs::path& folder) { return folder / "evaluations.jsonl"; }

void append_to_ledger(const fs::path& folder, const LedgerEntry& entry) {
    const fs::path path = ledger_of(folder);
    const auto fail = [&](int reason) {
        throw OutputError(fmt::format("cannot write {}", path.string()))
            .because(fmt::format("{}; every evaluation is recorded there", std::strerror(reason)));
    };
    const Descriptor file{::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644)};
    if (file.fd < 0) {
        fail(errno);
    }
    std::string line = line_of(entry);
    // The line before may have been cut short: this one begins a new one all the same.
    const off_t end = ::lseek(file.fd, 0, SEEK_END);
    char last = '\n';
    if (end > 0 && ::pread(file.fd, &last, 1, end - 1) == 1 && last != '\n') {
        line.insert(line.begin(), '\n');
    }
    if (const ssize_t written = ::write(file.fd, line.data(), line.size());
        written != static_cast<ssize_t>(line.size())) {
        fail(written < 0 ? errno : ENOSPC);
    }
    if (::fsync(file.fd) != 0) {
        fail(errno);
    }
}

int looks_at(const fs::path& folder, const std::string& split) {
    std::ifstream lines(ledger_of(folder));
    int looks = 0;
    for (std::string line; std::getline(lines, line);) {
        const Json json = Json::parse(line, nullptr, false);
        looks += json.is_object() && json.value("split", Json()) == split ? 1 : 0;
    }
    return looks;
}

}  // namespace fer

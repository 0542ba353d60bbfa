#include "engine/fetch/download.hpp"

#include <curl/curl.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "engine/core/error.hpp"
#include "engine/core/file.hpp"

namespace fer {
namespace {

namespace fs = std::filesystem;

struct Cleanup {
    void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

/// The partial file and what libcurl tells while it fills it.
struct Transfer {
    const Download* what = nullptr;
    CURL* curl = nullptr;
    int fd = -1;
    std::uint64_t start = 0;  // bytes that were there
    std::uint64_t have = 0;
    std::uint64_t limit = 0;  // 0: none
    bool failed_to_write = false;
    bool too_long = false;
};

std::size_t on_bytes(char* bytes, std::size_t size, std::size_t count, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    const std::size_t total = size * count;
    if (transfer.limit != 0 && transfer.have + total > transfer.limit) {
        transfer.too_long = true;
        return 0;
    }
    for (std::size_t done = 0; done < total;) {
        const ssize_t written = ::write(transfer.fd, bytes + done, total - done);
        if (written < 0 && errno != EINTR) {
            transfer.failed_to_write = true;
            return 0;
        }
        done += written < 0 ? 0 : static_cast<std::size_t>(written);
    }
    transfer.have += total;
    return total;
}

int on_progress(void* user, curl_off_t total, curl_off_t now, curl_off_t, curl_off_t) {
    const auto& transfer = *static_cast<Transfer*>(user);
    if (transfer.what->progress && now > 0) {
        transfer.what->progress(transfer.start + static_cast<std::uint64_t>(now),
                                total > 0 ? transfer.start + static_cast<std::uint64_t>(total) : 0);
    }
    return 0;
}

void set_options(CURL* curl, Transfer& transfer, const Download& what, char* error) {
    curl_easy_setopt(curl, CURLOPT_URL, what.url.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 20L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(what.stall_seconds));
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "fer/" FER_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(transfer.start));
}

enum class Result : std::uint8_t { kWhole, kTryAgain, kFromTheStart };

struct Partial {
    int fd;
    explicit Partial(const fs::path& path) : fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) {
        if (fd < 0) {
            throw OutputError(fmt::format("cannot write {}", path.string())).because(std::strerror(errno));
        }
    }
    ~Partial() { ::close(fd); }
    Partial(const Partial&) = delete;
    Partial& operator=(const Partial&) = delete;
};

/// One connection. `why` tells what broke off.
Result attempt(const Download& what, const fs::path& partial, bool resume, std::string& why) {
    const Partial file(partial);
    Transfer transfer{.what = &what, .fd = file.fd};
    const off_t end = resume ? ::lseek(file.fd, 0, SEEK_END) : 0;
    if (!resume && ::ftruncate(file.fd, 0) != 0) {
        throw OutputError(fmt::format("cannot write {}", partial.string())).because(std::strerror(errno));
    }
    transfer.start = transfer.have = static_cast<std::uint64_t>(end);
    transfer.limit = what.bytes;
    if (what.bytes != 0 && transfer.have == what.bytes) {
        return Result::kWhole;
    }
    const std::unique_ptr<CURL, Cleanup> curl(curl_easy_init());
    FER_ASSERT(curl != nullptr, "libcurl does not start");
    char error[CURL_ERROR_SIZE] = "";
    set_options(curl.get(), transfer, what, error);
    const CURLcode code = curl_easy_perform(curl.get());
    long status = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
    if (transfer.failed_to_write) {
        throw OutputError(fmt::format("cannot write {}", partial.string())).because(std::strerror(errno));
    }
    why = error[0] != '\0' ? error : curl_easy_strerror(code);
    if (code == CURLE_OK && (what.bytes == 0 || transfer.have == what.bytes)) {
        if (::fsync(file.fd) != 0) {
            throw OutputError(fmt::format("cannot write {}", partial.string())).because(std::strerror(errno));
        }
        return Result::kWhole;
    }
    if (code == CURLE_OK) {
        why = fmt::format("it ended after {} of {} bytes", transfer.have, what.bytes);
    }
    if (transfer.too_long) {
        why = fmt::format("the server sends more than the {} bytes there should be", what.bytes);
        fs::remove(partial);
        throw NetworkError(fmt::format("{} cannot be downloaded", what.url)).because(why);
    }
    if (transfer.start > 0 && (code == CURLE_RANGE_ERROR || status == 416)) {
        return Result::kFromTheStart;
    }
    if (status >= 400 && status < 500) {
        throw NetworkError(fmt::format("{} cannot be downloaded", what.url))
            .because(fmt::format("the server answers {}", status));
    }
    return Result::kTryAgain;
}

}  // namespace

void download(const Download& what) {
    make_folder(what.to.parent_path());
    const fs::path partial = what.to.string() + ".part";
    std::string why;
    bool whole = false;
    bool resume = true;
    for (int i = 0; i < what.attempts && !whole; ++i) {
        const Result result = attempt(what, partial, resume, why);
        whole = result == Result::kWhole;
        resume = result != Result::kFromTheStart;
    }
    if (!whole) {
        throw NetworkError(fmt::format("{} cannot be downloaded", what.url))
            .because(fmt::format("{} ({} attempts)", why, what.attempts));
    }
    const std::string difference = what.check ? what.check(partial) : std::string();
    if (!difference.empty()) {
        fs::remove(partial);
        throw NetworkError(fmt::format("what {} sends is not the file", what.url)).because(difference);
    }
    std::error_code error;
    fs::rename(partial, what.to, error);
    if (error) {
        throw OutputError(fmt::format("cannot write {}", what.to.string())).because(error.message());
    }
}

}  // namespace fer

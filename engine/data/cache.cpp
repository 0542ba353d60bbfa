// The file: Header, then labels, folds, usages, the texts (length, bytes; classes, files, skipped), pixels.
// The header carries the fingerprint of the data, which loading computes again: every byte is verified.
#include "engine/data/cache.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "engine/core/error.hpp"
#include "engine/core/file.hpp"
#include "engine/data/gather.hpp"
#include "engine/data/hash.hpp"

namespace fer {
namespace fs = std::filesystem;

namespace {

// Counts up when the same source would decode to other pixels, labels or order.
constexpr std::uint64_t kRules = 1;
// Read as a number, so that a machine of other byte order sees a foreign file.
constexpr std::uint64_t kMagic = 0x3153454341465246u;  // "FRFACES1"

struct Header {
    std::uint64_t magic = kMagic;
    std::uint64_t height = 0, width = 0;
    std::uint64_t images = 0, classes = 0, skipped = 0;
    std::uint64_t text_bytes = 0;
    std::uint64_t text_hash = 0;
    std::uint64_t fingerprint = 0;
    std::uint64_t header_hash = 0;  // of the members above
};

std::uint64_t hash_of(const Header& header) { return hash_bytes(&header, offsetof(Header, header_hash)); }

void append(std::string& text, const std::vector<std::string>& lines) {
    for (const std::string& line : lines) {
        const auto size = static_cast<std::uint32_t>(line.size());
        text.append(reinterpret_cast<const char*>(&size), sizeof size);
        text += line;
    }
}

/// A file that is read in pieces and ends where it should.
class CacheFile {
public:
    CacheFile(const fs::path& path, int fd) : path_(path), fd_(fd) {}
    ~CacheFile() { ::close(fd_); }
    CacheFile(const CacheFile&) = delete;
    CacheFile& operator=(const CacheFile&) = delete;

    [[noreturn]] void damaged(const std::string& reason) const {
        throw DataError(fmt::format("damaged cache {}", path_.string())).because(reason);
    }

    std::uint64_t size() const {
        struct stat info {};
        if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
            damaged("not a regular file");
        }
        return static_cast<std::uint64_t>(info.st_size);
    }

    void read(void* to, std::size_t count) {
        char* at = static_cast<char*>(to);
        while (count > 0) {
            const ssize_t got = ::read(fd_, at, count);
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got <= 0) {
                damaged(got == 0 ? "it ends too early" : std::strerror(errno));
            }
            at += got;
            count -= static_cast<std::size_t>(got);
        }
    }

    template <class T>
    void read(std::vector<T>& to, std::size_t count) {
        to.resize(count);
        read(to.data(), count * sizeof(T));
    }

private:
    const fs::path& path_;
    int fd_;
};

Header read_header(CacheFile& file) {
    const std::uint64_t size = file.size();
    Header header;
    if (size < sizeof header) {
        file.damaged(fmt::format("{} bytes", size));
    }
    file.read(&header, sizeof header);
    if (header.magic != kMagic || header.header_hash != hash_of(header)) {
        file.damaged("its header is not one of this program");
    }
    // The header hash is no proof against a made-up file: nothing is allocated that the file is too short for.
    constexpr std::uint64_t kSmall = std::uint64_t{1} << 16;
    if (header.height > kSmall || header.width > kSmall || header.images > kMaxImages || header.text_bytes > size) {
        file.damaged("its sizes are out of range");
    }
    const std::uint64_t per_image = sizeof(std::int32_t) + sizeof(Fold) + sizeof(Usage) + header.height * header.width;
    if (per_image > std::numeric_limits<std::uint64_t>::max() / 2 / (header.images + 1) ||
        size != sizeof header + header.text_bytes + header.images * per_image) {
        file.damaged(fmt::format("{} bytes do not fit its header", size));
    }
    return header;
}

/// Takes `count` texts off the front of `text`.
std::vector<std::string> take_texts(std::string_view& text, std::uint64_t count, const CacheFile& file) {
    std::vector<std::string> lines;
    for (std::uint64_t i = 0; i < count; ++i) {
        std::uint32_t size = 0;
        if (text.size() < sizeof size) {
            file.damaged("its names end too early");
        }
        std::memcpy(&size, text.data(), sizeof size);
        text.remove_prefix(sizeof size);
        if (text.size() < size) {
            file.damaged("its names end too early");
        }
        lines.emplace_back(text.substr(0, size));
        text.remove_prefix(size);
    }
    return lines;
}

}  // namespace

fs::path cache_path(const fs::path& folder, std::uint64_t content, const DataOptions& options) {
    std::uint64_t key = combine(content, kRules);
    key = combine(key, static_cast<std::uint64_t>(options.height));
    key = combine(key, static_cast<std::uint64_t>(options.width));
    return folder / fmt::format("{:016x}.faces", key);
}

void store_cache(const fs::path& path, const Dataset& data) {
    make_folder(path.parent_path());
    std::string text;
    append(text, data.classes);
    append(text, data.files);
    append(text, data.skipped);
    Header header{.height = static_cast<std::uint64_t>(data.height),
                  .width = static_cast<std::uint64_t>(data.width),
                  .images = data.labels.size(),
                  .classes = data.classes.size(),
                  .skipped = data.skipped.size(),
                  .text_bytes = text.size(),
                  .text_hash = hash_text(text),
                  .fingerprint = data.fingerprint};
    header.header_hash = hash_of(header);
    AtomicFile file(path);
    file.write(&header, sizeof header);
    file.write(data.labels.data(), data.labels.size() * sizeof(std::int32_t));
    file.write(data.folder.data(), data.folder.size() * sizeof(Fold));
    file.write(data.usage.data(), data.usage.size() * sizeof(Usage));
    file.write(text);
    file.write(data.pixels.data(), data.pixels.size());
    file.commit();
}

std::optional<Dataset> load_cache(const fs::path& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return std::nullopt;
    }
    if (fd < 0) {
        throw DataError(fmt::format("unreadable cache {}", path.string())).because(std::strerror(errno));
    }
    CacheFile file(path, fd);
    const Header header = read_header(file);
    Dataset data;
    data.height = static_cast<int>(header.height);
    data.width = static_cast<int>(header.width);
    file.read(data.labels, header.images);
    file.read(data.folder, header.images);
    file.read(data.usage, header.images);
    std::string text(header.text_bytes, '\0');
    file.read(text.data(), text.size());
    if (hash_text(text) != header.text_hash) {
        file.damaged("its names do not match their checksum");
    }
    std::string_view left = text;
    data.classes = take_texts(left, header.classes, file);
    data.files = take_texts(left, header.images, file);
    data.skipped = take_texts(left, header.skipped, file);
    file.read(data.pixels, header.images * header.height * header.width);
    const bool in_range =
        std::ranges::all_of(data.labels, [&](std::int32_t l) { return l >= 0 && l < std::ssize(data.classes); }) &&
        std::ranges::all_of(data.folder, [](Fold f) { return f <= Fold::kTest; }) &&
        std::ranges::all_of(data.usage, [](Usage u) { return u <= Usage::kUnknown; });
    if (!in_range) {
        file.damaged("a label is out of range");
    }
    data.fingerprint = fingerprint_of(data);
    if (data.fingerprint != header.fingerprint) {
        file.damaged("its images do not match their checksum");
    }
    return data;
}

}  // namespace fer

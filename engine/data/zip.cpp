#include <algorithm>
#include <mutex>

#include "engine/core/file.hpp"
#include "engine/core/zip_archive.hpp"
#include "engine/data/hash.hpp"
#include "engine/data/image.hpp"
#include "engine/data/layout.hpp"
#include "engine/data/sniff.hpp"
#include "engine/data/source.hpp"

namespace fer {
namespace fs = std::filesystem;

namespace {

ZipArchive open_archive(const fs::path& path) {
    std::string why;
    ZipArchive archive = open_zip(path, why);
    if (!archive) {
        throw DataError(fmt::format("{} cannot be read as a zip archive", path.string()))
            .because(why)
            .try_this("compare its size with the original, or test it: unzip -tq " + path.string());
    }
    return archive;
}

/// libzip handles serve one thread at a time, and opening one costs a pass over the central directory (60 ms for
/// 35,887 members): idle ones wait here for the next worker.
class ArchivePool {
public:
    explicit ArchivePool(fs::path path) : path_(std::move(path)) { idle_.push_back(open_archive(path_)); }

    template <class Use>
    auto with(Use&& use) {
        ZipArchive archive = take();
        auto result = use(archive.get());
        const std::lock_guard lock(mutex_);
        idle_.push_back(std::move(archive));
        return result;
    }

private:
    ZipArchive take() {
        {
            const std::lock_guard lock(mutex_);
            if (!idle_.empty()) {
                ZipArchive archive = std::move(idle_.back());
                idle_.pop_back();
                return archive;
            }
        }
        return open_archive(path_);
    }

    fs::path path_;
    std::mutex mutex_;
    std::vector<ZipArchive> idle_;
};

/// "./a//b/" -> "a/b". Members are never written to disk, but a name that tries to leave the archive says that
/// whoever made it meant harm or made a mistake.
std::string clean_name(std::string_view name, const std::string& source) {
    std::string clean;
    bool leaves = name.starts_with('/') || name.starts_with('\\');
    for (std::size_t start = 0; start < name.size();) {
        const std::size_t end = std::min(name.find_first_of("/\\", start), name.size());
        const std::string_view part = name.substr(start, end - start);
        leaves = leaves || part == "..";
        if (!part.empty() && part != ".") {
            clean.append(clean.empty() ? 0 : 1, '/').append(part);
        }
        start = end + 1;
    }
    if (leaves) {
        throw DataError(fmt::format("{}: the member '{}' points outside the archive", source, name))
            .because("its name is absolute or contains '..'")
            .try_this("get the archive from a source you trust");
    }
    return clean;
}

std::vector<Item> list_members(zip_t* archive, const std::string& source) {
    std::vector<Item> items;
    const zip_int64_t count = zip_get_num_entries(archive, 0);
    for (zip_int64_t i = 0; i < count; ++i) {
        zip_stat_t info;
        constexpr zip_uint64_t kNeeded = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_CRC;
        if (zip_stat_index(archive, static_cast<zip_uint64_t>(i), 0, &info) != 0 || (info.valid & kNeeded) != kNeeded) {
            throw DataError(fmt::format("{}: member {} has no name, size or checksum", source, i))
                .because(zip_strerror(archive));
        }
        Item item{.path = clean_name(info.name, source),
                  .is_folder = std::string_view(info.name).ends_with('/'),
                  .size = info.size,
                  .stamp = combine(info.size, info.crc),
                  .index = static_cast<std::size_t>(i)};
        if (!item.path.empty()) {
            items.push_back(std::move(item));
        }
    }
    return items;
}

std::string read_member(zip_t* archive, std::size_t index, const std::string& name) {
    const auto fail = [&](const char* reason) { throw ReadError(fmt::format("{}: in the zip: {}", name, reason)); };
    zip_stat_t info;
    if (zip_stat_index(archive, index, 0, &info) != 0) {
        fail(zip_strerror(archive));
    }
    if (info.size > kMaxImageBytes) {
        throw DataError(fmt::format("{}: {} bytes is too large for an image", name, info.size));
    }
    struct Close {
        void operator()(zip_file_t* file) const { zip_fclose(file); }
    };
    const std::unique_ptr<zip_file_t, Close> file(zip_fopen_index(archive, index, 0));
    if (!file) {
        fail(zip_strerror(archive));
    }
    // One byte more than announced: it must not be there, and asking for it makes libzip check the CRC-32.
    std::string bytes(info.size + 1, '\0');
    std::size_t have = 0;
    while (have < bytes.size()) {
        const zip_int64_t got = zip_fread(file.get(), bytes.data() + have, bytes.size() - have);
        if (got < 0) {
            fail(zip_file_strerror(file.get()));
        }
        if (got == 0) {
            break;
        }
        have += static_cast<std::size_t>(got);
    }
    if (have != info.size) {
        fail("not as long as the archive says");
    }
    bytes.resize(have);
    return bytes;
}

void check_is_zip(const fs::path& path) {
    const std::uintmax_t size = fs::file_size(path);
    if (size == 0) {
        throw DataError(fmt::format("{} is empty (0 bytes)", path.string())).try_this("download it again");
    }
    if (size > 1 << 20) {
        return;
    }
    const std::string bytes = read_file(path);
    const std::string kind = looks_like(std::as_bytes(std::span(bytes)));
    if (kind.find("zip") == std::string::npos) {
        throw DataError(fmt::format("{} is not a zip archive", path.string()))
            .because(fmt::format("it is {}", kind))
            .try_this("download it again");
    }
}

class ZipSource : public Source {
public:
    explicit ZipSource(const fs::path& path) : name_(path.string()), pool_(path) {
        std::vector<Item> items = pool_.with([&](zip_t* archive) { return list_members(archive, name_); });
        items_ = below_base(std::move(items), name_);
        for (const Item& item : items_) {
            key_.hash += mix64(hash_text(item.path, item.stamp));
        }
    }

    ContentKey key() const override { return key_; }

    Gathered read(const DataOptions& options) const override {
        Layout layout = arrange(items_, name_);
        const std::vector<std::size_t>& indices = layout.indices;
        Gathered result = gather(std::move(layout.slots), std::move(layout.classes), name_, options,
                                 [&](std::size_t i, Slot& slot, std::span<std::uint8_t> out) {
                                     const std::string bytes =
                                         pool_.with([&](zip_t* z) { return read_member(z, indices[i], slot.name); });
                                     fill_from_bytes(bytes, slot.name, options, out);
                                 });
        result.data.notes = std::move(layout.notes);
        return result;
    }

private:
    std::string name_;
    mutable ArchivePool pool_;
    std::vector<Item> items_;
    ContentKey key_;
};

}  // namespace

std::unique_ptr<Source> open_zip(const fs::path& path) {
    check_is_zip(path);
    return std::make_unique<ZipSource>(path);
}

}  // namespace fer

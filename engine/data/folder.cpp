#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "engine/core/file.hpp"
#include "engine/data/hash.hpp"
#include "engine/data/image.hpp"
#include "engine/data/layout.hpp"
#include "engine/data/source.hpp"

namespace fer {
namespace fs = std::filesystem;

namespace {

struct CloseDir {
    void operator()(DIR* folder) const { ::closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseDir>;

Folder open_dir(const fs::path& path) {
    Folder folder(::opendir(path.c_str()));
    if (!folder) {
        throw DataError(fmt::format("cannot read the folder {}", path.string()))
            .because(std::strerror(errno))
            .try_this("check its permissions: ls -ld " + path.string());
    }
    return folder;
}

std::vector<std::string> names_in(DIR* folder) {
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(folder)) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") {
            names.emplace_back(name);
        }
    }
    return names;
}

bool is_folder(const fs::path& path) {
    std::error_code error;
    return fs::is_directory(path, error);
}

bool has_folds(const fs::path& path) { return is_folder(path / "train") && is_folder(path / "test"); }

fs::path find_base(const fs::path& root) {
    if (has_folds(root)) {
        return root;
    }
    const Folder folder = open_dir(root);
    const std::vector<std::string> names = names_in(folder.get());
    std::vector<fs::path> bases;
    for (const std::string& name : names) {
        if (!is_hidden(name) && has_folds(root / name)) {
            bases.push_back(root / name);
        }
    }
    if (bases.size() != 1) {
        refuse_layout(root.string(), names);
    }
    return bases.front();
}

/// Everything below base/train and base/test, in no particular order.
class Walk {
public:
    explicit Walk(const fs::path& base) : base_(base), open_folders_{"train", "test"} {
        while (!open_folders_.empty()) {
            const std::string below = std::move(open_folders_.back());
            open_folders_.pop_back();
            list(below);
        }
    }

    std::vector<Item> items;
    std::vector<std::string> notes;
    ContentKey key;

private:
    void list(const std::string& below) {
        const Folder folder = open_dir(base_ / below);
        // Keras enters links to folders only where classes are listed; deeper ones could lead in circles.
        const bool follow = below.find('/') == std::string::npos;
        for (const std::string& name : names_in(folder.get())) {
            Item item{.path = below + "/" + name, .index = items.size()};
            struct stat info {};
            const int fd = ::dirfd(folder.get());
            bool known = ::fstatat(fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
            const bool is_link = known && S_ISLNK(info.st_mode);
            if (is_link) {
                known = ::fstatat(fd, name.c_str(), &info, 0) == 0;
            }
            item.is_folder = known && S_ISDIR(info.st_mode);
            if (item.is_folder && is_link && !follow) {
                notes.push_back(fmt::format("folder {} is a symbolic link and was not entered", item.path));
                continue;
            }
            add(std::move(item), known ? stamp_of(info) : ContentKey{}, static_cast<std::uint64_t>(info.st_size));
        }
    }

    void add(Item item, const ContentKey& stamp, std::uint64_t size) {
        if (item.is_folder) {
            if (!is_hidden(fs::path(item.path).filename().string())) {
                open_folders_.push_back(item.path);
            }
        } else {
            item.size = size;
            item.stamp = stamp.hash;
            key.settled = key.settled && stamp.settled;
        }
        // A sum, because the order in which a folder lists its files is not defined.
        key.hash += mix64(hash_text(item.path, item.stamp));
        items.push_back(std::move(item));
    }

    fs::path base_;
    std::vector<std::string> open_folders_;
};

class FolderSource : public Source {
public:
    explicit FolderSource(const fs::path& path) : name_(path.string()), base_(find_base(path)), walk_(base_) {}

    ContentKey key() const override { return walk_.key; }

    Gathered read(const DataOptions& options) const override {
        Layout layout = arrange(walk_.items, name_);
        Gathered result = gather(std::move(layout.slots), std::move(layout.classes), name_, options,
                                 [&](std::size_t, Slot& slot, std::span<std::uint8_t> out) {
                                     fill_from_bytes(bytes_of(slot.name), slot.name, options, out);
                                 });
        result.data.notes = walk_.notes;
        std::ranges::move(layout.notes, std::back_inserter(result.data.notes));
        return result;
    }

private:
    std::string bytes_of(const std::string& name) const {
        const fs::path path = base_ / name;
        std::error_code error;
        const fs::file_status status = fs::status(path, error);
        if (!error && fs::exists(status) && !fs::is_regular_file(status)) {
            throw DataError(name + ": not a regular file");  // opening a pipe would wait for its writer
        }
        try {
            return read_file(path, kMaxImageBytes);
        } catch (const DataError& failed) {
            throw ReadError(fmt::format("{}: {}", name, failed.why()));
        }
    }

    std::string name_;
    fs::path base_;
    Walk walk_;
};

}  // namespace

ContentKey stamp_of(const struct stat& info) {
    using namespace std::chrono;
    const auto nanoseconds_of = [](const timespec& t) {
        return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
    };
    std::uint64_t hash = combine(0, static_cast<std::uint64_t>(info.st_size));
    hash = combine(hash, static_cast<std::uint64_t>(nanoseconds_of(info.st_mtim)));
    hash = combine(hash, static_cast<std::uint64_t>(nanoseconds_of(info.st_ctim)));
    hash = combine(hash, static_cast<std::uint64_t>(info.st_ino));
    // Linux file times advance in ticks of up to 10 ms; ten of them for slower clocks of file servers.
    constexpr std::int64_t kSettleTime = 100'000'000;
    const auto now = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
    return {hash, nanoseconds_of(info.st_ctim) + kSettleTime < now};
}

std::unique_ptr<Source> open_folder(const fs::path& path) { return std::make_unique<FolderSource>(path); }

}  // namespace fer

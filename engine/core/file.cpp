#include "engine/core/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "engine/core/error.hpp"

namespace fer {
namespace fs = std::filesystem;

namespace {

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

}  // namespace

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
    // A fixed-length name of its own, so that a 255-byte file name still has room beside it.
    std::string name = (folder_of(path_) / ".fer-XXXXXX").string();
    fd_ = ::mkstemp(name.data());
    if (fd_ < 0) {
        fail("create");
    }
    temporary_ = name;
    ::fchmod(fd_, 0644);
}

AtomicFile::~AtomicFile() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
    if (!temporary_.empty()) {
        ::unlink(temporary_.c_str());
    }
}

void AtomicFile::write(const void* bytes, std::size_t count) {
    const char* at = static_cast<const char*>(bytes);
    while (count > 0) {
        const ssize_t done = ::write(fd_, at, count);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            fail("write");
        }
        at += done;
        count -= static_cast<std::size_t>(done);
    }
}

void AtomicFile::commit() {
    if (::fsync(fd_) != 0) {
        fail("fsync");
    }
    const int fd = fd_;
    fd_ = -1;
    if (::close(fd) != 0) {
        fail("close");
    }
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
        fail("rename");
    }
    temporary_.clear();
    const int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        fail("open folder");
    }
    const bool synced = ::fsync(folder) == 0 || errno == EINVAL;  // EINVAL: a file system without folder sync
    ::close(folder);
    if (!synced) {
        fail("fsync folder");
    }
}

void AtomicFile::fail(const char* call) {
    const std::string reason = std::strerror(errno);
    throw OutputError(fmt::format("cannot write {}", path_.string()))
        .because(fmt::format("{}: {}; what was there before is unchanged", call, reason))
        .try_this("free some space or choose another place with --out");
}

void write_file(const fs::path& path, std::string_view text) {
    AtomicFile file(path);
    file.write(text);
    file.commit();
}

namespace {

[[noreturn]] void fail_to_read(const fs::path& path, const std::string& reason) {
    throw DataError(fmt::format("cannot read {}", path.string())).because(reason);
}

/// A regular file that is open for reading, and its size.
struct OpenFile {
    int fd;
    std::size_t bytes = 0;

    OpenFile(const fs::path& path, std::size_t limit_bytes) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (fd < 0) {
            fail_to_read(path, std::strerror(errno));
        }
        struct stat info {};
        const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
        bytes = static_cast<std::size_t>(info.st_size);
        if (!regular || bytes > limit_bytes) {
            ::close(fd);
            fail_to_read(path, regular ? fmt::format("{} bytes, more than the {} allowed here", bytes, limit_bytes)
                                       : "not a regular file");
        }
    }
    ~OpenFile() { ::close(fd); }
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;
};

}  // namespace

std::string read_file(const fs::path& path, std::size_t limit_bytes) {
    const OpenFile file(path, limit_bytes);
    std::string text(file.bytes, '\0');
    std::size_t have = 0;
    while (have < text.size()) {
        const ssize_t got = ::read(file.fd, text.data() + have, text.size() - have);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            fail_to_read(path, std::strerror(errno));
        }
        if (got == 0) {
            text.resize(have);  // the file shrank while it was read
        }
        have += static_cast<std::size_t>(got);
    }
    return text;
}

MappedFile::MappedFile(const fs::path& path, std::size_t limit_bytes) {
    const OpenFile file(path, limit_bytes);
    if (file.bytes == 0) {
        return;  // nothing can be mapped
    }
    void* memory = ::mmap(nullptr, file.bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file.fd, 0);
    if (memory == MAP_FAILED) {
        fail_to_read(path, std::strerror(errno));
    }
    bytes_ = {static_cast<const char*>(memory), file.bytes};
}

MappedFile::~MappedFile() {
    if (!bytes_.empty()) {
        ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
    }
}

void make_folder(const fs::path& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error || !fs::is_directory(path)) {
        throw OutputError(fmt::format("cannot create the folder {}", path.string()))
            .because(error ? error.message() : "a file of that name is in the way");
    }
}

}  // namespace fer

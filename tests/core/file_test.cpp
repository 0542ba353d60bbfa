// Files written whole or not at all, whatever goes wrong on the way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "engine/core/file.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// No file may grow beyond `bytes` while this lives: writes fail as on a full disk.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        handler_ = std::signal(SIGXFSZ, SIG_IGN);
        rlimit now = before_;
        now.rlim_cur = bytes;
        ::setrlimit(RLIMIT_FSIZE, &now);
    }
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

private:
    rlimit before_{};
    void (*handler_)(int) = nullptr;
};

TEST(AtomicFile, WritesAndReplaces) {
    const TemporaryFolder folder;
    write_file(folder / "a.txt", "first");
    write_file(folder / "a.txt", "second");
    EXPECT_EQ(read_file(folder / "a.txt"), "second");
    EXPECT_THAT(folder.names(), ElementsAre("a.txt"));
}

TEST(AtomicFile, OthersMayRead) {
    const TemporaryFolder folder;
    write_file(folder / "a.txt", "text");
    struct stat info {};
    ASSERT_EQ(::stat((folder / "a.txt").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777u, 0644u);
}

TEST(AtomicFile, NothingIsVisibleBeforeCommit) {
    const TemporaryFolder folder;
    write_file(folder / "a.txt", "old");
    {
        AtomicFile file(folder / "a.txt");
        file.write("new");
        EXPECT_EQ(read_file(folder / "a.txt"), "old");
    }  // dropped without commit
    EXPECT_EQ(read_file(folder / "a.txt"), "old");
    EXPECT_THAT(folder.names(), ElementsAre("a.txt"));
}

TEST(AtomicFile, AFailedWriteLeavesTheOldFile) {
    const TemporaryFolder folder;
    write_file(folder / "a.txt", "old");
    const std::string large(1 << 20, 'x');
    std::string error;
    {
        const FileSizeLimit limit(4096);
        error = error_of<OutputError>([&] { write_file(folder / "a.txt", large); });
    }
    EXPECT_THAT(error, AllOf(HasSubstr("cannot write " + (folder / "a.txt").string()), HasSubstr("write: "),
                             HasSubstr("what was there before is unchanged")));
    EXPECT_EQ(read_file(folder / "a.txt"), "old");
    EXPECT_THAT(folder.names(), ElementsAre("a.txt"));
}

TEST(AtomicFile, AFolderInTheWayIsAnError) {
    const TemporaryFolder folder;
    make_folder(folder / "a.txt");
    EXPECT_THAT(error_of<OutputError>([&] { write_file(folder / "a.txt", "x"); }), HasSubstr("rename: "));
    EXPECT_THAT(folder.names(), ElementsAre("a.txt"));
}

TEST(AtomicFile, FoldersThatCannotBeWrittenTo) {
    const TemporaryFolder folder;
    EXPECT_THAT(error_of<OutputError>([&] { AtomicFile(folder / "missing/a.txt"); }), HasSubstr("No such file"));
    write_file(folder / "file", "");
    EXPECT_THAT(error_of<OutputError>([&] { AtomicFile(folder / "file/a.txt"); }), HasSubstr("Not a directory"));
    EXPECT_THAT(error_of<OutputError>([&] { AtomicFile("/proc/a.txt"); }), HasSubstr("cannot write /proc/a.txt"));
}

/// Root may write anywhere: becomes nobody while this lives.
class Unprivileged {
public:
    Unprivileged() : before_(::geteuid()) { worked_ = before_ != 0 || ::seteuid(65534) == 0; }
    ~Unprivileged() { worked_ = ::seteuid(before_) == 0; }
    Unprivileged(const Unprivileged&) = delete;
    Unprivileged& operator=(const Unprivileged&) = delete;
    bool worked() const { return worked_; }

private:
    uid_t before_;
    bool worked_ = false;
};

TEST(AtomicFile, ReadOnlyFolder) {
    const TemporaryFolder folder;
    write_file(folder / "a.txt", "old");
    ::chmod(folder.path().c_str(), 0555);
    std::string error;
    {
        const Unprivileged nobody;
        if (!nobody.worked()) {
            GTEST_SKIP() << "root may write anywhere and cannot become anybody else";
        }
        error = error_of<OutputError>([&] { write_file(folder / "a.txt", "new"); });
    }
    ::chmod(folder.path().c_str(), 0755);
    EXPECT_THAT(error, AllOf(HasSubstr("create: Permission denied"), HasSubstr((folder / "a.txt").string())));
    EXPECT_EQ(read_file(folder / "a.txt"), "old");
    EXPECT_THAT(folder.names(), ElementsAre("a.txt"));
}

TEST(AtomicFile, LongestNameHasRoomBesideIt) {
    const TemporaryFolder folder;
    const std::string name(255, 'n');
    write_file(folder / name, "x");
    EXPECT_THAT(folder.names(), ElementsAre(name));
}

TEST(ReadFile, EmptyAndBinary) {
    const TemporaryFolder folder;
    write_file(folder / "empty", "");
    EXPECT_EQ(read_file(folder / "empty"), "");
    const std::string bytes("\0\xff\n\0", 4);
    write_file(folder / "bytes", bytes);
    EXPECT_EQ(read_file(folder / "bytes"), bytes);
}

TEST(ReadFile, ErrorsNameThePathAndTheReason) {
    const TemporaryFolder folder;
    const auto missing = folder / "missing";
    EXPECT_THAT(error_of<DataError>([&] { read_file(missing); }),
                AllOf(HasSubstr(missing.string()), HasSubstr("No such file")));
    EXPECT_THAT(error_of<DataError>([&] { read_file(folder.path()); }), HasSubstr("not a regular file"));
    EXPECT_THAT(error_of<DataError>([&] { read_file("/dev/null"); }), HasSubstr("not a regular file"));
    write_file(folder / "a", "12345");
    EXPECT_EQ(read_file(folder / "a", 5), "12345");
    EXPECT_THAT(error_of<DataError>([&] { read_file(folder / "a", 4); }),
                HasSubstr("5 bytes, more than the 4 allowed"));
}

TEST(MakeFolder, MakesParentsAndRefusesFiles) {
    const TemporaryFolder folder;
    make_folder(folder / "a/b/c");
    make_folder(folder / "a/b/c");
    EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b/c"));
    write_file(folder / "file", "");
    EXPECT_THAT(error_of<OutputError>([&] { make_folder(folder / "file"); }), HasSubstr("file"));
    EXPECT_THAT(error_of<OutputError>([&] { make_folder(folder / "file/inside"); }),
                HasSubstr("cannot create the folder"));
}

}  // namespace
}  // namespace fer::test

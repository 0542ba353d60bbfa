// Downloads from a local server that truncates, stalls, redirects and sends wrong bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "engine/core/file.hpp"
#include "engine/fetch/download.hpp"
#include "engine/fetch/hash.hpp"
#include "engine/fetch/official.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string body() {
    std::string bytes;
    for (int i = 0; i < 100'000; ++i) {
        bytes += static_cast<char>(i * 7 % 251);
    }
    return bytes;
}

class DownloadTest : public ::testing::Test {
protected:
    static void SetUpTestSuite() {
        int ends[2] = {-1, -1};
        ASSERT_EQ(::pipe(ends), 0);
        server_ = ::fork();
        if (server_ == 0) {
            ::dup2(ends[1], STDOUT_FILENO);
            ::close(ends[0]);
            const std::string script = std::string(FER_SOURCE_DIR) + "/tests/fetch/server.py";
            ::execlp("python3", "python3", script.c_str(), static_cast<char*>(nullptr));
            ::_exit(127);
        }
        ::close(ends[1]);
        std::string line;  // the server may write its end by itself
        for (char c = 0; ::read(ends[0], &c, 1) == 1 && c != '\n';) {
            line += c;
        }
        ::close(ends[0]);
        port_ = std::atoi(line.c_str());
    }
    static void TearDownTestSuite() {
        ::kill(server_, SIGKILL);
        ::waitpid(server_, nullptr, 0);
    }
    void SetUp() override {
        ::setenv("no_proxy", "127.0.0.1", 1);
        if (port_ == 0) {
            GTEST_SKIP() << "python3 is not installed: there is no server to ask";
        }
    }

    Download from(const std::string& path) const {
        Download what{.url = fmt::format("http://127.0.0.1:{}/{}", port_, path), .to = folder_ / "file"};
        what.bytes = 100'000;
        what.check = [](const fs::path& file) {
            return read_file(file) == body() ? std::string() : std::string("its bytes are others");
        };
        what.stall_seconds = 1;
        return what;
    }
    std::string failure(const Download& what) const {
        std::string text = "nothing failed";
        try {
            download(what);
        } catch (const NetworkError& error) {
            text = error.why();
        }
        EXPECT_FALSE(fs::exists(what.to));
        return text;
    }

    static inline pid_t server_ = -1;
    static inline int port_ = 0;
    const TemporaryFolder folder_;
};

TEST_F(DownloadTest, Whole) {
    std::uint64_t seen = 0;
    Download what = from("ok");
    what.progress = [&](std::uint64_t now, std::uint64_t all) {
        seen = now;
        EXPECT_EQ(all, 100'000u);
    };
    download(what);
    EXPECT_EQ(read_file(folder_ / "file"), body());
    EXPECT_EQ(seen, 100'000u);
    EXPECT_FALSE(fs::exists(folder_ / "file.part"));
}

TEST_F(DownloadTest, FollowsRedirectsWithinHttpAlone) {
    download(from("redirect"));
    EXPECT_EQ(read_file(folder_ / "file"), body());
    fs::remove(folder_ / "file");
    EXPECT_THAT(failure(from("loop")), HasSubstr("redirects"));
    EXPECT_NE(failure(from("local-file")), "nothing failed");
}

TEST_F(DownloadTest, ResumesWhatBrokeOff) {
    download(from("truncate"));
    EXPECT_EQ(read_file(folder_ / "file"), body());
}

TEST_F(DownloadTest, ResumesAPartialFileOfAnEarlierTry) {
    write_file(folder_ / "file.part", body().substr(0, 70'000));
    download(from("ok"));
    EXPECT_EQ(read_file(folder_ / "file"), body());
}

TEST_F(DownloadTest, StartsAgainWhereTheServerCannotResume) {
    write_file(folder_ / "file.part", body().substr(0, 70'000));
    download(from("no-range"));
    EXPECT_EQ(read_file(folder_ / "file"), body());
}

TEST_F(DownloadTest, GivesUpAndKeepsWhatItHas) {
    EXPECT_THAT(failure(from("always-truncate")), HasSubstr("3 attempts"));
    EXPECT_EQ(fs::file_size(folder_ / "file.part"), 30u);
}

TEST_F(DownloadTest, AStalledConnectionEnds) {
    Download what = from("stall");
    what.attempts = 1;
    const auto start = std::chrono::steady_clock::now();
    EXPECT_NE(failure(what), "nothing failed");
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
}

TEST_F(DownloadTest, WrongBytesAreNotKept) {
    EXPECT_THAT(failure(from("wrong")), HasSubstr("its bytes are others"));
    EXPECT_FALSE(fs::exists(folder_ / "file.part"));
    EXPECT_THAT(failure(from("long")), HasSubstr("more than the 100000 bytes"));
    EXPECT_FALSE(fs::exists(folder_ / "file.part"));
}

TEST_F(DownloadTest, TellsWhatTheServerAnswers) {
    EXPECT_THAT(failure(from("nothing")), HasSubstr("404"));
    Download nobody = from("ok");
    nobody.url = "http://127.0.0.1:1/file";
    EXPECT_THAT(failure(nobody), HasSubstr("onnect"));
}

// RFC 1321 and FIPS 180 give these.
TEST(Hashes, KnownAnswers) {
    const TemporaryFolder folder;
    write_file(folder / "abc", "abc");
    EXPECT_EQ(hash_of_file(folder / "abc", Hash::kMd5), "900150983cd24fb0d6963f7d28e17f72");
    EXPECT_EQ(hash_of_file(folder / "abc", Hash::kSha256),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_THAT(error_of<DataError>([&] { hash_of_file(folder / "none", Hash::kMd5); }), HasSubstr("cannot read"));
}

TEST(OfficialFiles, AreToldApart) {
    for (const OfficialFile& file : official_files()) {
        EXPECT_TRUE(file.md5.size() == 32 || file.sha256.size() == 64) << file.name;
        EXPECT_EQ(&find_official(file.name), &file);
        EXPECT_THAT(url_of(file), HasSubstr(std::string(file.file)));
    }
    EXPECT_THAT(error_of<UsageError>([] { find_official("vgg61"); }), HasSubstr("vgg61"));
    const TemporaryFolder folder;
    write_file(folder / "w.h5", std::string(1000, 'x'));
    EXPECT_THAT(difference_from_official(folder / "w.h5", find_official("vgg16-notop")), HasSubstr("58889256"));
    EXPECT_THAT(difference_from_official(folder / "w.h5", find_official("vgg16")), HasSubstr("its MD5 is"));
    write_file(folder / "w.h5", "");
    fs::resize_file(folder / "w.h5", 94'653'016);
    EXPECT_THAT(difference_from_official(folder / "w.h5", find_official("resnet50-notop")),
                HasSubstr("first Keras versions"));
}

}  // namespace
}  // namespace fer::test

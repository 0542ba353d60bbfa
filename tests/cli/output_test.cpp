// Results that cannot be written: exit 9, and what was there before is still there.
#include <sys/mount.h>

#include "tests/cli/program.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using Output = ProgramTest;

/// A file system of `bytes` bytes for a scope; false where mounting is not allowed.
class SmallDisk {
public:
    SmallDisk(fs::path folder, const std::string& bytes) : folder_(std::move(folder)) {
        fs::create_directories(folder_);
        mounted_ = ::mount("tmpfs", folder_.c_str(), "tmpfs", 0, ("size=" + bytes).c_str()) == 0;
    }
    ~SmallDisk() {
        if (mounted_) {
            ::umount2(folder_.c_str(), MNT_DETACH);
        }
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;

    explicit operator bool() const { return mounted_; }

private:
    fs::path folder_;
    bool mounted_ = false;
};

bool has_temporary_file(const std::vector<std::string>& paths) {
    return std::ranges::any_of(paths, [](const std::string& path) { return path.find(".fer-") != std::string::npos; });
}

TEST_F(Output, AFullDisk) {
    const SmallDisk disk(*this / "disk", "1900k");
    if (!disk) {
        GTEST_SKIP() << "mounting a small file system needs root";
    }
    // best and last weights are 380 KB each; the state of 1.1 MB does not fit beside them.
    const Outcome full = fer(kTiny + " --epochs 3 --out disk");
    EXPECT_EQ(full.status, 9) << full.err;
    EXPECT_THAT(full.err, HasSubstr("fer: error: cannot write disk/simpler_cnn/weights/"));
    EXPECT_THAT(full.err, HasSubstr("No space left on device; what was there before is unchanged"));
    EXPECT_THAT(full.err, HasSubstr("try: free some space or choose another place with --out"));
    EXPECT_FALSE(has_temporary_file(tree())) << "half a file is left behind";
    ok("evaluate disk/simpler_cnn --out eval");  // best.safetensors is whole
}

TEST_F(Output, AFullDiskLeavesTheBestWeightsOfBefore) {
    ok(kTiny + " --epochs 1 --name run");
    const SmallDisk disk(*this / "disk", "1950k");
    if (!disk) {
        GTEST_SKIP() << "mounting a small file system needs root";
    }
    fs::copy(*this / "runs/train/run", *this / "disk/run", fs::copy_options::recursive);
    const std::string best = read("disk/run/weights/best.safetensors");
    const std::string config = read("disk/run/config.toml");
    const Outcome full = fer("train --resume disk/run --epochs 9");
    EXPECT_EQ(full.status, 9) << full.err;
    EXPECT_THAT(full.err, HasSubstr("cannot write disk/run/"));
    EXPECT_TRUE(read("disk/run/weights/best.safetensors") == best);
    EXPECT_FALSE(has_temporary_file(tree()));
    ok("evaluate disk/run --out eval");
}

TEST_F(Output, AFileSizeLimitIsToldLikeAFullDisk) {
    ok(kTiny + " --epochs 1 --name run");
    const std::string best = read("runs/train/run/weights/best.safetensors");
    const Outcome limited = fer(kTiny + " --epochs 2 --name run --exist-ok --seed 1", {.file_bytes = 100'000});
    EXPECT_EQ(limited.status, 9) << limited.err;
    EXPECT_THAT(limited.err, HasSubstr("fer: error: cannot write runs/train/run/weights/"));
    EXPECT_THAT(limited.err, HasSubstr("File too large"));
    EXPECT_TRUE(read("runs/train/run/weights/best.safetensors") == best);
    EXPECT_THAT(read_json("runs/train/run/run.json")["exit_reason"].get<std::string>(),
                HasSubstr("failed: cannot write"));
    EXPECT_FALSE(has_temporary_file(tree()));
}

TEST_F(Output, AFolderThatMayNotBeWritten) {
    fs::permissions(folder_.path(), fs::perms::all);
    fs::create_directories(*this / "locked");
    fs::permissions(*this / "locked", fs::perms(0555));
    const Start nobody{.as_nobody = true};
    if (fer("--version", nobody).status != 0) {
        GTEST_SKIP() << "nobody may not run the program where it lies";
    }
    const Outcome outcome = fails(9, kTiny + " --out locked", "cannot create the folder locked/simpler_cnn", nobody);
    EXPECT_THAT(outcome.err, HasSubstr("why: Permission denied"));
    EXPECT_THAT(fails(9, "data preview synthetic:70 --out locked/p.png", "cannot write locked/p.png", nobody).err,
                HasSubstr("Permission denied"));
    EXPECT_TRUE(fs::is_empty(*this / "locked"));
}

TEST_F(Output, APlaceWhereNoFolderCanBe) {
    write("file", "mine");
    for (const char* out : {"file", "file/below", "/proc/fer"}) {
        const Outcome outcome = fer(kTiny + " --epochs 1 --out " + out);
        EXPECT_EQ(outcome.status, 9) << outcome.err;
        EXPECT_THAT(outcome.err, HasSubstr(std::string("fer: error: cannot create the folder ") + out));
    }
    EXPECT_EQ(read("file"), "mine");
}

TEST_F(Output, ResultsThatCannotBePrinted) {
    ok(kTiny + " --epochs 1 --name run --quiet");
    for (const char* line :
         {"summary custom_cnn", "summary --list", "data info synthetic:70", "plan simpler_cnn --width 0.1",
          "evaluate runs/train/run", "evaluate runs/train/run --json", "recipe show quickstart"}) {
        const Outcome outcome = fer(line, {.standard_out = "/dev/full"});
        EXPECT_EQ(outcome.status, 9) << line;
        EXPECT_THAT(outcome.err, HasSubstr("fer: error: cannot write the results to stdout\n"
                                           "  why: No space left on device\n"))
            << line;
    }
}

TEST_F(Output, NothingButResultsOnStdout) {
    const Outcome train = ok(kTiny + " --epochs 1 --verbose");
    for (const std::string& line : lines(train.out)) {
        EXPECT_THAT(line, ::testing::MatchesRegex("(best epoch |saved ).*"));
    }
    EXPECT_THAT(train.err, Not(HasSubstr("saved runs")));
}

}  // namespace
}  // namespace fer::test

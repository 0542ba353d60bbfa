#include "tests/data/support.hpp"

namespace fer::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ZipTest : public ::testing::Test {
protected:
    void SetUp() override {
        make_tree(temp_.path / "tree");
        members_ = members_of(temp_.path / "tree");
    }
    fs::path path() const { return temp_.path / "faces.zip"; }
    Dataset open() const { return open_dataset(path().string(), uncached()); }
    DataError error() const {
        return data_error_of([&] { open(); });
    }

    TempFolder temp_;
    Members members_;
};

TEST_F(ZipTest, EqualsItsFolder) {
    const Dataset folder = open_dataset((temp_.path / "tree").string(), uncached());
    for (const int method : {ZIP_CM_STORE, ZIP_CM_DEFLATE}) {
        make_zip(path(), members_, method);
        const Dataset data = open();
        EXPECT_EQ(data.files, folder.files);
        EXPECT_EQ(data.labels, folder.labels);
        EXPECT_EQ(data.pixels, folder.pixels);
        EXPECT_EQ(data.fingerprint, folder.fingerprint);
    }
}

TEST_F(ZipTest, MayHaveOneCommonFolder) {
    Members members = members_of(temp_.path / "tree", "./fer 2013/");
    members.emplace_back("__MACOSX/fer 2013/train/happy/._a.jpg", "junk");
    make_zip(path(), members);
    const Dataset data = open();
    EXPECT_EQ(data.size(), 8);
    EXPECT_EQ(data.files.front(), "train/happy/a.jpg");
}

TEST_F(ZipTest, RefusesNamesThatLeaveTheArchive) {
    for (const std::string name : {"../train/happy/x.jpg", "train/../../x.jpg", "/etc/x.jpg", "train\\..\\x.jpg"}) {
        Members members = members_;
        members.emplace_back(name, flat_jpeg(1));
        make_zip(path(), members);
        EXPECT_THAT(error().what(), HasSubstr("the member '" + name + "' points outside the archive"));
    }
}

TEST_F(ZipTest, ABadMemberIsSkippedOrStrictlyRefused) {
    members_.emplace_back("train/happy/c.jpg", "version https://git-lfs.github.com/spec/v1");
    make_zip(path(), members_);
    EXPECT_THAT(open().skipped, ElementsAre(HasSubstr("train/happy/c.jpg: not a JPEG or PNG image but a Git LFS")));
    DataOptions strict = uncached();
    strict.strict = true;
    EXPECT_THAT(data_error_of([&] { open_dataset(path().string(), strict); }).what(), HasSubstr("train/happy/c.jpg"));
}

TEST_F(ZipTest, ADamagedMemberIsCaughtByItsChecksumAndNotCached) {
    make_zip(path(), members_);
    std::string bytes = read_bytes(path());
    const std::string jpeg = flat_jpeg(10);
    const std::size_t at = bytes.find(jpeg);
    ASSERT_NE(at, std::string::npos);
    bytes[at + 20] = static_cast<char>(bytes[at + 20] ^ 1);  // inside a table: the JPEG itself stays readable
    write_bytes(path(), bytes);
    DataOptions options;
    options.cache = temp_.path / "cache";
    for (int i = 0; i < 2; ++i) {
        const Dataset data = open_dataset(path().string(), options);
        ASSERT_EQ(data.skipped.size(), 1u);
        EXPECT_THAT(data.skipped[0], HasSubstr("in the zip: CRC error"));
        EXPECT_FALSE(fs::exists(options.cache));
    }
}

TEST_F(ZipTest, ALargeMemberIsRefusedBeforeItIsUnpacked) {
    members_.emplace_back("train/happy/bomb.jpg", std::string(kMaxImageBytes + 1, '\0'));
    make_zip(path(), members_, ZIP_CM_DEFLATE);
    EXPECT_LT(fs::file_size(path()), 1u << 20);
    EXPECT_THAT(open().skipped, ElementsAre(HasSubstr("train/happy/bomb.jpg: 33554433 bytes is too large")));
}

TEST_F(ZipTest, SaysWhatIsWrongWithTheFile) {
    write_bytes(path(), "");
    EXPECT_THAT(error().what(), HasSubstr("is empty (0 bytes)"));
    write_bytes(path(), "<html>Too many requests</html>");
    EXPECT_THAT(error().why(), HasSubstr("an HTML page"));
    write_bytes(path(), "version https://git-lfs.github.com/spec/v1");
    EXPECT_THAT(error().why(), HasSubstr("a Git LFS pointer"));
    make_zip(path(), members_);
    const std::string whole = read_bytes(path());
    write_bytes(path(), whole.substr(0, whole.size() / 2));
    EXPECT_THAT(error().what(), HasSubstr("cannot be read as a zip archive"));
    EXPECT_THAT(error().why(), HasSubstr("its download stopped early"));
    make_zip(path(), {{"fer2013.csv", "emotion"}});
    EXPECT_THAT(error().what(), HasSubstr("no train/ and test/ folders"));
    EXPECT_THAT(error().why(), HasSubstr("it holds fer2013.csv"));
}

TEST_F(ZipTest, AnyCutIsAnErrorNeverACrash) {
    make_zip(path(), members_, ZIP_CM_DEFLATE);
    const std::string whole = read_bytes(path());
    for (std::size_t keep = 0; keep < whole.size(); keep += 97) {
        write_bytes(path(), whole.substr(0, keep));
        EXPECT_THROW(open(), DataError) << keep;
    }
}

}  // namespace
}  // namespace fer::test

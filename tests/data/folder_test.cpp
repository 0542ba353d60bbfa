#include <sys/stat.h>
#include <unistd.h>

#include "engine/data/split.hpp"
#include "tests/data/support.hpp"

namespace fer::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FolderTest : public ::testing::Test {
protected:
    Dataset open() const { return open_dataset(temp_.path.string(), uncached()); }
    DataError error() const {
        return data_error_of([&] { open(); });
    }
    void add(const std::string& name, std::uint8_t tone) const { write_bytes(temp_.path / name, flat_jpeg(tone)); }
    const fs::path& root() const { return temp_.path; }

private:
    TempFolder temp_;
};

TEST_F(FolderTest, ReadsClassByClass) {
    make_tree(root());
    const Dataset data = open();
    EXPECT_THAT(data.classes, ElementsAre("happy", "sad"));
    EXPECT_THAT(tones(data), ElementsAre(10, 11, 12, 13, 14, 15, 16, 17));
    EXPECT_THAT(data.labels, ElementsAre(0, 0, 1, 1, 0, 0, 1, 1));
    EXPECT_EQ(data.files.front(), "train/happy/a.jpg");
    EXPECT_EQ(data.folder.front(), Fold::kTrain);
    EXPECT_EQ(data.folder.back(), Fold::kTest);
    EXPECT_THAT(data.usage, ::testing::Each(Usage::kUnknown));
    EXPECT_THAT(data.skipped, IsEmpty());
    EXPECT_THAT(data.notes, IsEmpty());
    EXPECT_THAT(class_counts(data), ElementsAre(4, 4));
}

TEST_F(FolderTest, SortsAsKerasWhateverTheNames) {
    make_tree(root());
    fs::remove_all(root() / "train" / "happy");
    for (const char* name :
         {"b.jpg", "B.JPG", "a b.jpeg", "\xC3\xA4.png", "10.jpg", "9.jpg", "in/z.jpg", "in ner/y.jpg", "in/deep/x.Jpg",
          "\xF0\x9F\x98\x80.jpg", "\xEF\xBD\xB1.jpg", "-final-jpg"}) {
        add("train/happy/" + std::string(name), 50);
    }
    const Dataset data = open();
    const std::vector<std::string> happy(data.files.begin(), data.files.begin() + 12);
    // The folder's own files first, by code point (U+FF71 before U+1F600), then folders by
    // their path: "in" < "in ner" < "in/deep".
    EXPECT_THAT(happy,
                ElementsAre("train/happy/-final-jpg", "train/happy/10.jpg", "train/happy/9.jpg", "train/happy/B.JPG",
                            "train/happy/a b.jpeg", "train/happy/b.jpg", "train/happy/\xC3\xA4.png",
                            "train/happy/\xEF\xBD\xB1.jpg", "train/happy/\xF0\x9F\x98\x80.jpg", "train/happy/in/z.jpg",
                            "train/happy/in ner/y.jpg", "train/happy/in/deep/x.Jpg"));
}

TEST_F(FolderTest, LeavesHiddenFoldersAndOtherFilesOutWithANote) {
    make_tree(root());
    add("train/.ipynb_checkpoints/a.jpg", 1);
    add("train/happy/.thumbs/a.jpg", 1);
    write_bytes(root() / "train" / "happy" / "readme.txt", "hello");
    write_bytes(root() / "train" / "list.csv", "hello");
    write_bytes(root() / "README.md", "hello");
    const Dataset data = open();
    EXPECT_EQ(data.size(), 8);
    EXPECT_THAT(data.notes, ElementsAre(HasSubstr("train/.ipynb_checkpoints left out"),
                                        HasSubstr("train/happy/.thumbs left out"), HasSubstr("2 files left out")));
}

TEST_F(FolderTest, FindsTheOneFolderThatHoldsTheData) {
    make_tree(root() / "fer2013");
    fs::create_directories(root() / "notes");
    EXPECT_EQ(open().size(), 8);
    EXPECT_EQ(open().files.front(), "train/happy/a.jpg");
    make_tree(root() / "fer2013 (copy)");
    EXPECT_THAT(error().why(), HasSubstr("fer2013, fer2013 (copy), notes"));
}

TEST_F(FolderTest, ResizesAndConvertsToTheAskedSize) {
    make_tree(root());
    write_png(root() / "train" / "happy" / "a.png", 2, 1, 3, std::vector<std::uint8_t>{255, 0, 0, 0, 0, 255});
    DataOptions options = uncached();
    options.width = 4;
    options.height = 2;
    const Dataset data = open_dataset(root().string(), options);
    EXPECT_EQ(data.files[1], "train/happy/a.png");
    const std::vector<int> pixels(data.image(1), data.image(1) + 8);
    EXPECT_THAT(pixels, ElementsAre(76, 76, 29, 29, 76, 76, 29, 29));
    options.width = 0;
    EXPECT_THROW(open_dataset(root().string(), options), UsageError);
}

TEST_F(FolderTest, SkipsAndNamesABadImage) {
    make_tree(root());
    write_bytes(root() / "train" / "happy" / "a.jpg", "<html>");
    write_bytes(root() / "test" / "sad" / "b.bmp", std::string("BM\x10\0\0\0\0\0\0\0", 10) + "\x36???");
    const Dataset data = open();
    EXPECT_THAT(tones(data), ElementsAre(11, 12, 13, 14, 15, 16, 17));
    EXPECT_THAT(data.labels, ElementsAre(0, 1, 1, 0, 0, 1, 1));
    EXPECT_THAT(data.skipped, ElementsAre("train/happy/a.jpg: not a JPEG or PNG image but an HTML page",
                                          "test/sad/b.bmp: not a JPEG or PNG image but a BMP image"));
    DataOptions strict = uncached();
    strict.strict = true;
    const DataError refused = data_error_of([&] { open_dataset(root().string(), strict); });
    EXPECT_THAT(refused.what(), HasSubstr("train/happy/a.jpg: not a JPEG"));
    EXPECT_THAT(refused.why(), HasSubstr("2 in all"));
    EXPECT_THAT(refused.hint(), HasSubstr("without strict"));
}

TEST_F(FolderTest, OddFilesAreSkippedNotWaitedFor) {
    make_tree(root());
    ASSERT_EQ(::mkfifo((root() / "train/happy/pipe.jpg").c_str(), 0600), 0);
    fs::create_symlink("nowhere", root() / "train/happy/gone.jpg");
    fs::create_symlink("a.jpg", root() / "train/happy/link.jpg");
    fs::create_directory_symlink("..", root() / "train/happy/loop");
    fs::create_directories(root() / "train/happy/folder.jpg");
    const Dataset data = open();
    EXPECT_THAT(data.skipped, ElementsAre("train/happy/gone.jpg: No such file or directory",
                                          "train/happy/pipe.jpg: not a regular file"));
    EXPECT_EQ(data.size(), 9);
    EXPECT_EQ(data.files[2], "train/happy/link.jpg");
    EXPECT_THAT(data.notes, ElementsAre(HasSubstr("train/happy/loop is a symbolic link")));
}

TEST_F(FolderTest, ClassFoldersMustMatchAndHoldImages) {
    make_tree(root());
    add("train/suprise/a.jpg", 1);
    EXPECT_THAT(error().what(), HasSubstr("class 'suprise' is in train/ but not in test/"));
    add("test/surprise/a.jpg", 1);
    EXPECT_THAT(error().hint(), HasSubstr("'surprise'"));
    fs::rename(root() / "train/suprise", root() / "train/surprise");
    EXPECT_EQ(open().classes.size(), 3u);
    fs::remove(root() / "train/surprise/a.jpg");
    EXPECT_THAT(error().what(), HasSubstr("class folder train/surprise holds no images"));
}

TEST_F(FolderTest, AClassOfBadImagesOnlyIsAnError) {
    make_tree(root());
    write_bytes(root() / "train/sad/a.jpg", "");
    write_bytes(root() / "train/sad/b.jpg", "text");
    EXPECT_THAT(error().what(), HasSubstr("class 'sad' has no usable training image"));
    EXPECT_THAT(error().why(), HasSubstr("train/sad/a.jpg: not a JPEG or PNG image but empty"));
    for (const auto& entry : fs::recursive_directory_iterator(root())) {
        if (entry.is_regular_file()) {
            write_bytes(entry.path(), "");
        }
    }
    EXPECT_THAT(error().what(), HasSubstr("none of its 8 images can be used"));
    EXPECT_THAT(error().hint(), HasSubstr("--data synthetic"));
}

TEST_F(FolderTest, SaysWhatItFoundInstead) {
    EXPECT_THAT(error().what(), HasSubstr("no train/ and test/ folders"));
    EXPECT_THAT(error().why(), HasSubstr("it is empty"));
    write_bytes(root() / "fer2013.csv", "x");
    EXPECT_THAT(error().why(), HasSubstr("it holds fer2013.csv"));
    EXPECT_THAT(error().hint(), HasSubstr("name the .csv file"));
    fs::create_directories(root() / "train");
    fs::create_directories(root() / "test");
    EXPECT_THAT(error().what(), HasSubstr("train/ holds no class folders"));
}

TEST_F(FolderTest, AnUnreadableFolderIsAnError) {
    make_tree(root());
    fs::permissions(root(), fs::perms::all);
    fs::permissions(root() / "train/sad", fs::perms::none);
    const bool is_root = ::geteuid() == 0;  // root reads everything: become nobody for a moment
    if (is_root && ::seteuid(65534) != 0) {
        GTEST_SKIP() << "cannot give up root";
    }
    const DataError refused = error();
    if (is_root) {
        ASSERT_EQ(::seteuid(0), 0);
    }
    fs::permissions(root() / "train/sad", fs::perms::all);
    EXPECT_THAT(refused.what(), HasSubstr("cannot read the folder"));
    EXPECT_THAT(refused.what(), HasSubstr("train/sad"));
    EXPECT_THAT(refused.why(), HasSubstr("Permission denied"));
}

TEST(OpenDataset, RefusesWhatIsNoDataSet) {
    const TempFolder temp;
    const DataError missing = data_error_of([&] { open_dataset((temp.path / "no").string(), uncached()); });
    EXPECT_THAT(missing.what(), HasSubstr("no data at"));
    EXPECT_THAT(missing.hint(), HasSubstr("--data synthetic"));
    write_bytes(temp.path / "fer2013.tar.gz", "\x1F\x8B");
    EXPECT_THAT(data_error_of([&] { open_dataset((temp.path / "fer2013.tar.gz").string(), uncached()); }).what(),
                HasSubstr("neither a folder nor a .zip or .csv"));
}

}  // namespace
}  // namespace fer::test

// Data sets and weights that are not what they should be: the exit status, and a first line that says which and where.
#include <fmt/ranges.h>

#include "tests/cli/program.hpp"
#include "tests/data/support.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kClasses{"angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"};

/// A folder data set of seven classes, two images each in train/ and test/.
class Input : public ProgramTest {
protected:
    void make_set(const std::string& name = "set") const { make_tree(*this / name, kClasses); }

    std::string zip() const {
        make_set("zipped");
        make_zip(*this / "set.zip", members_of(*this / "zipped"));
        return read("set.zip");
    }

    /// Rows of fer2013.csv: a Usage of each kind for every emotion.
    std::string csv() const {
        std::string text = "emotion,pixels,Usage\n";
        for (const char* usage : {"Training", "Training", "PublicTest", "PrivateTest"}) {
            for (int emotion = 0; emotion < 7; ++emotion) {
                text += fmt::format("{},", emotion);
                for (int pixel = 0; pixel < 48 * 48; ++pixel) {
                    text += fmt::format("{}{}", pixel > 0 ? " " : "", pixel * (emotion + 1) % 256);
                }
                text += fmt::format(",{}\n", usage);
            }
        }
        return text;
    }

    const std::string train_ = "train simpler_cnn --width 0.1 --batch 8 --epochs 1 --val-split 0 --data ";
};

TEST_F(Input, WhatIsNotThere) {
    for (const char* name : {"nowhere", "nowhere.zip", "nowhere.csv"}) {
        fails(3, train_ + name, fmt::format("no data at '{}'", name));
        fails(3, std::string("data info ") + name, fmt::format("no data at '{}'", name));
    }
    write("notes.txt", "hello");
    fails(3, train_ + "notes.txt", "notes.txt is neither a folder nor a .zip or .csv file");
    EXPECT_THAT(tree(), ::testing::ElementsAre("notes.txt"));
}

TEST_F(Input, WhatCannotBeRead) {
    make_set();
    fs::permissions(folder_.path(), fs::perms::all);
    write("locked.csv", "emotion,pixels,Usage\n");
    fs::permissions(*this / "locked.csv", fs::perms::none);
    fs::permissions(*this / "set/train/happy/a.jpg", fs::perms::none);
    const Start nobody{.as_nobody = true};
    if (fer("--version", nobody).status != 0) {
        GTEST_SKIP() << "nobody may not run the program where it lies";
    }
    EXPECT_THAT(fer("data info set", nobody).err, HasSubstr("skipped train/happy/a.jpg: Permission denied"));
    fails(3, "data info set --strict", "train/happy/a.jpg: Permission denied", nobody);
    EXPECT_THAT(fails(3, "data info locked.csv", "cannot read locked.csv", nobody).err, HasSubstr("Permission denied"));
    fs::permissions(*this / "set/train/happy", fs::perms::none);
    EXPECT_THAT(fails(3, train_ + "set", "cannot read the folder set/train/happy", nobody).err,
                HasSubstr("try: check its permissions"));
    fs::permissions(*this / "set/train/happy", fs::perms::all);
}

TEST_F(Input, FolderZipAndCsvTrain) {
    make_set();
    zip();
    write("faces.csv", csv());
    for (const char* name : {"set", "set.zip", "faces.csv"}) {
        ok(train_ + name + " --out runs --name " + name);
        ok(std::string("evaluate runs/") + name);
    }
    EXPECT_THAT(ok("data info faces.csv").out, HasSubstr("faces.csv: 28 images 48x48"));
    ok(train_ + "faces.csv --split official --name official");
}

TEST_F(Input, DamagedArchives) {
    const std::string whole = zip();
    write("cut.zip", whole.substr(0, whole.size() / 2));
    const Outcome cut = fails(3, train_ + "cut.zip", "cut.zip cannot be read as a zip archive");
    EXPECT_THAT(cut.err, HasSubstr("its download stopped early"));
    write("zero.zip", "");
    EXPECT_THAT(fails(3, train_ + "zero.zip", "zero.zip is empty (0 bytes)").err, HasSubstr("try: download it again"));
    write("page.zip", "<!DOCTYPE html><html>login</html>");
    EXPECT_THAT(fails(3, train_ + "page.zip", "page.zip is not a zip archive").err, HasSubstr("it is an HTML page"));
    write("pointer.zip", "version https://git-lfs.github.com/spec/v1\n");
    EXPECT_THAT(fails(3, train_ + "pointer.zip", "pointer.zip is not a zip archive").err,
                HasSubstr("it is a Git LFS pointer"));
    make_zip(*this / "other.zip", {{"readme.txt", "hello"}});
    fails(3, train_ + "other.zip", "other.zip: no train/ and test/ folders in it");
    EXPECT_FALSE(fs::exists(*this / "runs"));
}

TEST_F(Input, ABadImageIsSkippedAndCounted) {
    make_set();
    write("set/train/happy/a.jpg", "this is no image");
    const Outcome train = ok(train_ + "set");
    EXPECT_THAT(train.err,
                HasSubstr("fer: warning: 1 of 28 images skipped; the first: train/happy/a.jpg: not a JPEG or "
                          "PNG image but text\n"));
    EXPECT_EQ(read_json("runs/train/simpler_cnn/run.json")["data"]["train"], 13);
    EXPECT_THAT(ok("data info set").err, HasSubstr("skipped train/happy/a.jpg: not a JPEG or PNG image but text"));
    const auto before = tree();
    fails(3, train_ + "set --strict", "train/happy/a.jpg: not a JPEG or PNG image but text");
    fails(3, "data info set --strict", "train/happy/a.jpg: not a JPEG or PNG image but text");
    EXPECT_EQ(tree(), before);
}

TEST_F(Input, ImagesOfAnotherSizeAreResized) {
    make_set();
    write("set/train/happy/a.jpg", flat_jpeg(77, 31, 99));
    EXPECT_THAT(ok("data info set").out, HasSubstr("set: 28 images 48x48"));
    EXPECT_EQ(ok(train_ + "set --quiet").err, "");
}

TEST_F(Input, ClassesThatAreEmptyMissingOrTooFew) {
    make_set();
    fs::remove(*this / "set/train/sad/a.jpg");
    fs::remove(*this / "set/train/sad/b.jpg");
    fails(3, train_ + "set", "set: class folder train/sad holds no images");
    fs::remove_all(*this / "set/train/sad");
    fails(3, train_ + "set", "set: class 'sad' is in test/ but not in train/");
    fs::rename(*this / "set/test/sad", *this / "set/test/sad ");
    fs::remove_all(*this / "set/test/sad ");
    EXPECT_THAT(fails(2, train_ + "set", "the data has 6 classes").first_line(), HasSubstr("the network has 7"));
    EXPECT_FALSE(fs::exists(*this / "runs"));
}

TEST_F(Input, ClassesOfAnotherModel) {
    make_set();
    ok(train_ + "set");
    make_tree(*this / "other", {"a", "b", "c", "d", "e", "f", "g"});
    EXPECT_THAT(fails(3, "evaluate runs/train/simpler_cnn --data other", "other: its classes are not the model's").err,
                HasSubstr("a, b, c, d, e, f, g"));
}

TEST_F(Input, BadRowsOfACsvAreNamedByLine) {
    std::vector<std::string> rows = lines(csv());
    rows.insert(rows.begin() + 3, fmt::format("9{}", rows[1].substr(1)));  // line 4, with emotion 9
    write("bad.csv", fmt::format("{}\n", fmt::join(rows, "\n")));
    const Outcome train = ok(train_ + "bad.csv");
    EXPECT_THAT(train.err,
                HasSubstr("1 of 29 images skipped; the first: bad.csv:4: expected an emotion 0..6, found '9'"));
    fails(3, train_ + "bad.csv --strict", "bad.csv:4: expected an emotion 0..6, found '9'");
    write("short.csv", csv() + "3,1 2 3,Training\n");
    fails(3, train_ + "short.csv --strict", "short.csv:30: expected 2304 pixels");
    write("columns.csv", "emotion,Usage\n3,Training\n");
    fails(3, train_ + "columns.csv", "columns.csv: no column 'pixels'");
    write("zero.csv", "");
    fails(3, train_ + "zero.csv", "zero.csv is empty (0 bytes)");
}

TEST_F(Input, WeightsThatAreNotWhatTheyShouldBe) {
    ok(kTiny + " --epochs 1 --name run");
    const std::string whole = read("runs/train/run/weights/best.safetensors");
    write_png(*this / "face.png", 48, 48, 1, std::vector<std::uint8_t>(48 * 48, 100));
    std::string damaged = whole;
    damaged[damaged.size() - 100] = static_cast<char>(damaged[damaged.size() - 100] ^ 1);
    std::string foreign = whole;
    const std::string name = "simpler_cnn";
    foreign.replace(foreign.find(name), name.size(), "transformer");
    std::string renamed = whole;
    renamed.replace(renamed.find("\"conv2d_1/kernel\""), 17, "\"conv2d_7/kernel\"");
    struct Case {
        std::string bytes, what, why;
    };
    const std::vector<Case> cases{
        {"", "w.safetensors is not a usable safetensors file", "it is empty"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
         "w.safetensors is not a usable safetensors file", "Git LFS pointer"},
        {"<html></html>", "w.safetensors is not a usable safetensors file", "HTML page"},
        {whole.substr(0, whole.size() - 9), "w.safetensors is not a usable safetensors file", ""},
        {damaged, "w.safetensors is not a usable safetensors file", "the data is damaged"},
        {foreign, "w.safetensors is of the unknown model 'transformer'", "fer summary --list"},
        {renamed, "w.safetensors does not fit this model", "it has no tensor 'conv2d_1/kernel'"}};
    for (const Case& c : cases) {
        write("w.safetensors", c.bytes);
        EXPECT_THAT(fails(3, "evaluate w.safetensors", c.what).err, HasSubstr(c.why));
        EXPECT_THAT(fails(3, "predict w.safetensors face.png", c.what).err, HasSubstr(c.why));
        EXPECT_FALSE(fs::exists(*this / "eval"));
    }
    fails(3, "evaluate nowhere", "no such run or weights file: nowhere");
    fails(3, "evaluate runs", "runs holds no weights");
}

TEST_F(Input, WeightsOfAnotherModelInARunFolder) {
    ok(kTiny + " --epochs 1 --name run");
    ok("train simpler_cnn --width 0.2 --data synthetic:70 --epochs 1 --name wide");
    const std::string wide = read("runs/train/wide/weights/best.safetensors");
    // The tensors of one under the description of the other.
    std::string mixed = wide;
    const std::size_t at = mixed.find("\\\"width\\\":0.2");
    ASSERT_NE(at, std::string::npos);
    mixed.replace(at, 13, "\\\"width\\\":0.1");
    write("runs/train/run/weights/best.safetensors", mixed);
    EXPECT_THAT(fails(3, "evaluate runs/train/run", "best.safetensors does not fit this model").err,
                HasSubstr(" there, "));
}

// Measured times are looked for where the command says, and left alone when it says so.
TEST_F(Input, ATuneCacheMustBeThereAndBeOne) {
    const std::string plan = "plan simpler_cnn --batch 2 ";
    fails(3, plan + "--tune-cache nowhere.json", "nowhere.json: no such file");
    write_file(*this / "cache.json", "{}");
    fails(3, plan + "--tune-cache cache.json", "cache.json is not a tune cache of this version");
    EXPECT_EQ(ok(plan + "--no-tune --tune-cache nowhere.json").out, ok(plan).out);
}

}  // namespace
}  // namespace fer::test

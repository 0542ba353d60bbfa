#include "engine/data/cache.hpp"

#include "tests/data/support.hpp"

namespace fer::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CacheTest : public ::testing::Test {
protected:
    void SetUp() override {
        make_tree(tree());
        let_times_settle();
        options_.cache = temp_.path / "cache";
    }
    fs::path tree() const { return temp_.path / "tree"; }
    Dataset open() const { return open_dataset(tree().string(), options_); }
    std::vector<fs::path> caches() const {
        std::vector<fs::path> paths;
        if (fs::exists(options_.cache)) {
            for (const auto& entry : fs::directory_iterator(options_.cache)) {
                paths.push_back(entry.path());
            }
        }
        return paths;
    }

    TempFolder temp_;
    DataOptions options_;
};

void expect_same(const Dataset& a, const Dataset& b) {
    EXPECT_EQ(a.pixels, b.pixels);
    EXPECT_EQ(a.labels, b.labels);
    EXPECT_EQ(a.files, b.files);
    EXPECT_EQ(a.folder, b.folder);
    EXPECT_EQ(a.usage, b.usage);
    EXPECT_EQ(a.classes, b.classes);
    EXPECT_EQ(a.skipped, b.skipped);
    EXPECT_EQ(a.fingerprint, b.fingerprint);
}

TEST_F(CacheTest, TheSecondOpeningReadsTheCache) {
    write_bytes(tree() / "train/happy/c.jpg", "bad");
    let_times_settle();
    const Dataset first = open();
    ASSERT_EQ(caches().size(), 1u);
    // Written over with other content of another fingerprint: what comes back must be this one.
    Dataset marked = first;
    marked.files[0] = "from the cache";
    store_cache(caches()[0], marked);
    const Dataset second = open();
    EXPECT_EQ(second.files[0], "from the cache");
    marked.notes.clear();
    expect_same(second, marked);
}

TEST_F(CacheTest, AnyChangeOfTheFolderMisses) {
    const Dataset first = open();
    const fs::path changed = tree() / "train/sad/a.jpg";
    const auto time = fs::last_write_time(changed);
    std::string bytes = read_bytes(changed);
    bytes = flat_jpeg(99);
    write_bytes(changed, bytes);
    fs::last_write_time(changed, time);  // size and time of writing as before
    let_times_settle();
    EXPECT_NE(open().fingerprint, first.fingerprint);
    EXPECT_EQ(caches().size(), 2u);
    fs::rename(changed, tree() / "train/sad/z.jpg");
    let_times_settle();
    EXPECT_EQ(open().files[3], "train/sad/z.jpg");
    EXPECT_EQ(caches().size(), 3u);
}

TEST_F(CacheTest, FilesStillWarmAreNotCached) {
    write_bytes(tree() / "train/happy/c.jpg", flat_jpeg(1));
    open();
    EXPECT_THAT(caches(), IsEmpty());
    let_times_settle();
    open();
    EXPECT_EQ(caches().size(), 1u);
}

TEST_F(CacheTest, ACopiedZipFindsTheSameCache) {
    make_zip(temp_.path / "a.zip", members_of(tree()));
    const Dataset first = open_dataset((temp_.path / "a.zip").string(), options_);
    fs::copy_file(temp_.path / "a.zip", temp_.path / "b.zip");
    expect_same(open_dataset((temp_.path / "b.zip").string(), options_), first);
    EXPECT_EQ(caches().size(), 1u);
    Members members = members_of(tree());
    members[0].second = flat_jpeg(200);
    make_zip(temp_.path / "b.zip", members);
    EXPECT_NE(open_dataset((temp_.path / "b.zip").string(), options_).fingerprint, first.fingerprint);
    EXPECT_EQ(caches().size(), 2u);
}

TEST_F(CacheTest, OtherSizesHaveTheirOwn) {
    open();
    options_.width = 24;
    EXPECT_EQ(open().width, 24);
    EXPECT_EQ(caches().size(), 2u);
    EXPECT_EQ(open().width, 24);
}

TEST_F(CacheTest, StrictRefusesWhatALenientRunCached) {
    write_bytes(tree() / "train/happy/c.jpg", "bad");
    let_times_settle();
    EXPECT_EQ(open().skipped.size(), 1u);
    ASSERT_EQ(caches().size(), 1u);
    options_.strict = true;
    EXPECT_THAT(data_error_of([&] { open(); }).what(), HasSubstr("train/happy/c.jpg"));
}

TEST_F(CacheTest, DamageIsNoticedAndRepaired) {
    const Dataset first = open();
    ASSERT_EQ(caches().size(), 1u);
    const fs::path path = caches()[0];
    const std::string whole = read_bytes(path);
    const auto expect_rebuilt = [&](const std::string& damaged) {
        write_bytes(path, damaged);
        const Dataset data = open();
        EXPECT_THAT(data.notes, ElementsAre(HasSubstr("damaged cache")));
        expect_same(data, first);
        EXPECT_THAT(open().notes, IsEmpty());
        EXPECT_EQ(read_bytes(path), whole);
    };
    for (const std::size_t keep : {std::size_t{0}, std::size_t{40}, std::size_t{200}, whole.size() - 1}) {
        SCOPED_TRACE(keep);
        expect_rebuilt(whole.substr(0, keep));
    }
    expect_rebuilt(whole + "x");
    for (std::size_t at = 0; at < 400; at += 3) {
        std::string bytes = whole;
        bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
        write_bytes(path, bytes);
        EXPECT_THROW(load_cache(path), DataError) << "byte " << at;
    }
    for (std::size_t at = 401; at < whole.size(); at += 997) {
        std::string bytes = whole;
        bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
        write_bytes(path, bytes);
        EXPECT_THROW(load_cache(path), DataError) << "byte " << at;
    }
}

TEST_F(CacheTest, AnUnwritableFolderIsANote) {
    write_bytes(temp_.path / "file", "in the way");
    options_.cache = temp_.path / "file" / "cache";
    const Dataset data = open();
    EXPECT_EQ(data.size(), 8);
    EXPECT_THAT(data.notes, ElementsAre(HasSubstr("not cached: ")));
}

TEST(DefaultCacheFolder, FollowsTheEnvironment) {
    const auto keep = [](const char* name) { return std::getenv(name) != nullptr ? std::getenv(name) : std::string(); };
    const std::string fer = keep("FER_CACHE"), xdg = keep("XDG_CACHE_HOME"), home = keep("HOME");
    ::setenv("FER_CACHE", "/a", 1);
    ::setenv("XDG_CACHE_HOME", "/b", 1);
    ::setenv("HOME", "/c", 1);
    EXPECT_EQ(default_cache_folder(), "/a");
    ::unsetenv("FER_CACHE");
    EXPECT_EQ(default_cache_folder(), "/b/fer");
    ::unsetenv("XDG_CACHE_HOME");
    EXPECT_EQ(default_cache_folder(), "/c/.cache/fer");
    ::unsetenv("HOME");
    EXPECT_EQ(default_cache_folder(), "");
    for (const auto& [name, value] : {std::pair{"FER_CACHE", fer}, {"XDG_CACHE_HOME", xdg}, {"HOME", home}}) {
        if (!value.empty()) {
            ::setenv(name, value.c_str(), 1);
        }
    }
}

}  // namespace
}  // namespace fer::test

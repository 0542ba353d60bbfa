#include "engine/data/split.hpp"

#include <tbb/global_control.h>

#include <set>

#include "engine/data/synthetic.hpp"
#include "tests/data/support.hpp"

namespace fer::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Classes a and b; train holds 5 of a and 3 of b, test one of each.
Dataset by_hand() {
    Dataset data;
    data.classes = {"a", "b"};
    data.labels = {0, 0, 0, 0, 0, 1, 1, 1, 0, 1};
    for (int i = 0; i < 10; ++i) {
        data.folder.push_back(i < 8 ? Fold::kTrain : Fold::kTest);
        data.usage.push_back(i < 8 ? Usage::kTraining : i == 8 ? Usage::kPublicTest : Usage::kPrivateTest);
        data.files.push_back("file" + std::to_string(i));
    }
    return data;
}

TEST(SplitFolder, FirstImagesOfEachClassValidate) {
    const Split split = split_folder(by_hand(), 0.4);
    EXPECT_THAT(split.validation, ElementsAre(0, 1, 5));
    EXPECT_THAT(split.train, ElementsAre(2, 3, 4, 6, 7));
    EXPECT_THAT(split.test, ElementsAre(8, 9));
    EXPECT_THAT(class_counts(by_hand(), split.train), ElementsAre(3, 2));
    EXPECT_THAT(class_counts(by_hand()), ElementsAre(6, 4));
}

TEST(SplitFolder, WithoutAFractionTheTestFolderValidates) {
    const Split split = split_folder(by_hand(), 0.0);
    EXPECT_EQ(split.train.size(), 8u);
    EXPECT_EQ(split.validation, split.test);
}

TEST(SplitFolder, TruncatesTheDoubleProduct) {
    Dataset data;
    data.classes = {"a"};
    data.labels.assign(100, 0);
    data.folder.assign(100, Fold::kTrain);
    EXPECT_EQ(split_folder(data, 0.29).validation.size(), 28u);  // 0.29 * 100 is 28.999999999999996
    EXPECT_THROW(split_folder(data, 1.0), UsageError);
    EXPECT_THROW(split_folder(data, -0.1), UsageError);
}

TEST(SplitOfficial, GoesByUsage) {
    const Split split = split_official(by_hand());
    EXPECT_EQ(split.train.size(), 8u);
    EXPECT_THAT(split.validation, ElementsAre(8));
    EXPECT_THAT(split.test, ElementsAre(9));
}

TEST(SplitOfficial, NeedsEveryUsage) {
    Dataset data = by_hand();
    data.usage[3] = Usage::kUnknown;
    const DataError unknown = data_error_of([&] { split_official(data); });
    EXPECT_THAT(unknown.what(), HasSubstr("file3"));
    EXPECT_THAT(unknown.hint(), HasSubstr("--split folder"));
    data.usage[3] = Usage::kTraining;
    data.usage[9] = Usage::kPublicTest;
    EXPECT_THAT(data_error_of([&] { split_official(data); }).what(), HasSubstr("0 PrivateTest"));
}

TEST(SplitOfficial, ReadsTheUsageFromFileNames) {
    const TempFolder temp;
    for (const char* name : {"train/sad/Training_1.jpg", "test/sad/PublicTest_1.jpg", "test/sad/PrivateTest_1.jpg"}) {
        write_bytes(temp.path / name, flat_jpeg(1));
    }
    const Split split = split_official(open_dataset(temp.path.string(), uncached()));
    EXPECT_THAT(split.train, ElementsAre(0));
    EXPECT_THAT(split.validation, ElementsAre(2));
    EXPECT_THAT(split.test, ElementsAre(1));
}

TEST(Fer2013, HasItsPublishedCounts) {
    if (fer2013().empty()) {
        GTEST_SKIP() << "no FER2013: set FER2013_DATA to its folder or zip";
    }
    const Dataset data = open_dataset(fer2013(), uncached());
    EXPECT_EQ(data.size(), 35887);
    EXPECT_EQ(data.skipped.size(), 0u);
    EXPECT_EQ(data.classes, emotion_names());

    const Split folder = split_folder(data, 0.2);
    EXPECT_EQ(folder.train.size(), 22968u);
    EXPECT_EQ(folder.validation.size(), 5741u);
    EXPECT_EQ(folder.test.size(), 7178u);
    EXPECT_THAT(class_counts(data, folder.validation), ElementsAre(799, 87, 819, 1443, 993, 966, 634));
    EXPECT_THAT(class_counts(data, folder.test), ElementsAre(958, 111, 1024, 1774, 1233, 1247, 831));
    EXPECT_THAT(class_counts(data, split_folder(data, 0).train), ElementsAre(3995, 436, 4097, 7215, 4965, 4830, 3171));

    const Split official = split_official(data);
    EXPECT_EQ(official.train.size(), 28709u);
    EXPECT_THAT(class_counts(data, official.validation), ElementsAre(467, 56, 496, 895, 607, 653, 415));
    EXPECT_THAT(class_counts(data, official.test), ElementsAre(491, 55, 528, 879, 626, 594, 416));
}

TEST(OpenDataset, DoesNotDependOnTheNumberOfThreads) {
    const TempFolder temp;
    make_tree(temp.path, {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r"});
    for (const char* name : {"a", "d", "k", "r"}) {
        write_bytes(temp.path / "train" / name / "c.jpg", "bad");
    }
    make_zip(temp.path / "faces.zip", members_of(temp.path));
    for (const std::string& source :
         {temp.path.string(), (temp.path / "faces.zip").string(), std::string("synthetic:300")}) {
        std::set<std::uint64_t> fingerprints;
        std::set<std::vector<std::string>> skipped;
        for (const std::size_t threads : {1u, 2u, 7u}) {
            const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
            const Dataset data = open_dataset(source, uncached());
            fingerprints.insert(data.fingerprint);
            skipped.insert(data.skipped);
        }
        EXPECT_EQ(fingerprints.size(), 1u) << source;
        EXPECT_EQ(skipped.size(), 1u) << source;
    }
}

}  // namespace
}  // namespace fer::test

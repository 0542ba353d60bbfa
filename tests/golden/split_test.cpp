// Which files of an awkward tree train and which validate, in which order, against Keras 2.15's flow_from_directory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "engine/core/file.hpp"
#include "engine/data/image.hpp"
#include "engine/data/split.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const nlohmann::json& golden() {
    static const nlohmann::json file = nlohmann::json::parse(read_file(golden_path("directory_split.json")));
    return file;
}

/// Keras lists a class without images and goes on; here it is an error, because such a data set is a mistake.
constexpr const char* kEmptyClasses[] = {"empty", "only_gif"};

class DirectorySplit : public ::testing::Test {
protected:
    DirectorySplit() {
        for (const auto& name : golden()["files"]) {
            write(root() / "train" / fs::path(name.get<std::string>()));
        }
        for (const auto& name : golden()["folders"]) {
            const fs::path folder(name.get<std::string>());
            fs::create_directories(root() / "train" / folder);
            write(root() / "test" / folder / "image.png");
        }
    }

    const fs::path& root() const { return temporary_.path(); }

    /// Every file is a valid PNG whatever its name says: what is tested is the choice, not the decoding.
    static void write(const fs::path& path) {
        fs::create_directories(path.parent_path());
        write_png(path, 1, 1, 1, std::vector<std::uint8_t>{128});
    }

    Dataset open() const {
        DataOptions options;
        options.use_cache = false;
        options.strict = true;
        return open_dataset(root().string(), options);
    }

    void remove(const std::string& name) const {
        fs::remove_all(root() / "train" / name);
        fs::remove_all(root() / "test" / name);
    }

private:
    TemporaryFolder temporary_;
};

/// Names below train/, and the class of each by name: our classes are numbered without the empty ones.
void expect_list(const Dataset& data, const std::vector<std::int32_t>& indices, const nlohmann::json& want) {
    std::map<int, std::string> class_names;
    for (const auto& [name, index] : golden()["class_indices"].items()) {
        class_names[index.get<int>()] = name;
    }
    std::vector<std::string> names;
    std::vector<std::string> classes;
    for (const std::int32_t i : indices) {
        names.push_back(data.files[static_cast<std::size_t>(i)].substr(std::string_view("train/").size()));
        classes.push_back(data.classes[static_cast<std::size_t>(data.labels[static_cast<std::size_t>(i)])]);
    }
    std::vector<std::string> want_classes;
    for (const auto& index : want["classes"]) {
        want_classes.push_back(class_names.at(index.get<int>()));
    }
    EXPECT_EQ(names, want["filenames"].get<std::vector<std::string>>());
    EXPECT_EQ(classes, want_classes);
}

TEST_F(DirectorySplit, ListsAndSplitsAsKeras) {
    for (const char* name : kEmptyClasses) {
        remove(name);
    }
    const Dataset data = open();
    for (const auto& want : golden()["cases"]) {
        const auto fraction = want["validation_split"].get<double>();
        SCOPED_TRACE(::testing::Message() << "validation_split " << fraction << ", subset " << want["subset"]);
        const Split split = split_folder(data, fraction);
        expect_list(data, want["subset"] == "validation" ? split.validation : split.train, want);
    }
    EXPECT_EQ(split_folder(data, 0).validation, split_folder(data, 0).test);
}

TEST_F(DirectorySplit, RefusesClassesKerasLeavesEmpty) {
    for (const char* name : kEmptyClasses) {
        EXPECT_THAT(error_of<DataError>([&] { open(); }), HasSubstr(fmt::format("train/{} holds no images", name)));
        remove(name);
    }
    EXPECT_EQ(open().classes.size(), golden()["folders"].size() - std::size(kEmptyClasses));
}

TEST_F(DirectorySplit, LeavesOutHiddenFoldersThatKerasWouldCount) {
    for (const char* name : kEmptyClasses) {
        remove(name);
    }
    const Dataset before = open();
    write(root() / "train" / ".ipynb_checkpoints" / "a.png");
    write(root() / "train" / "angry" / ".ipynb_checkpoints" / "a.png");
    const Dataset after = open();
    EXPECT_EQ(after.files, before.files);
    EXPECT_THAT(after.notes.front(), HasSubstr("Keras would count it"));
}

}  // namespace
}  // namespace fer::test

// safetensors: what is written is read back, and nothing damaged is ever handed out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <optional>

#include "engine/core/file.hpp"
#include "engine/formats/safetensors.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string with_header(const std::string& header, const std::string& data, std::optional<std::uint64_t> length = {}) {
    const std::uint64_t n = length.value_or(header.size());
    std::string bytes(reinterpret_cast<const char*>(&n), sizeof n);
    return bytes + header + data;
}

/// "bytes.safetensors ... / why": always a DataError that names the file.
std::string rejection(const std::string& bytes) {
    const std::string text = error_of<DataError>([&] { SafetensorsFile(bytes, "bytes.safetensors"); });
    EXPECT_THAT(text, HasSubstr("bytes.safetensors"));
    return text;
}

struct Sample {
    std::vector<float> weights{1.5f, -2, 3, 4, 5, 6};
    std::vector<double> loss{0.25};
    std::vector<std::uint8_t> bytes{1, 2, 3};
    std::vector<std::int64_t> empty;
    std::map<std::string, std::string> metadata{{"network", "custom \"cnn\""}, {"empty", ""}};

    void write(const std::filesystem::path& path) const {
        const std::vector<TensorView> views{{"bytes", DType::kU8, {3}, bytes.data()},
                                            {"weights", DType::kF32, {2, 3}, weights.data()},
                                            {"loss", DType::kF64, {}, loss.data()},
                                            {"none", DType::kI64, {0, 4}, empty.data()}};
        write_safetensors(path, views, metadata);
    }
    std::string image() const {
        const TemporaryFolder folder;
        write(folder / "a.safetensors");
        return read_file(folder / "a.safetensors");
    }
};

TEST(Safetensors, RoundTrip) {
    const TemporaryFolder folder;
    const Sample sample;
    sample.write(folder / "a.safetensors");
    const SafetensorsFile file(folder / "a.safetensors");
    EXPECT_THAT(file.get<float>("weights"), ::testing::ElementsAreArray(sample.weights));
    EXPECT_THAT(file.get<double>("loss"), ::testing::ElementsAre(0.25));
    EXPECT_THAT(file.get<std::uint8_t>("bytes"), ::testing::ElementsAre(1, 2, 3));
    EXPECT_TRUE(file.get<std::int64_t>("none").empty());
    EXPECT_EQ(file.find("weights")->shape, (Shape{2, 3}));
    EXPECT_EQ(file.find("loss")->shape, Shape{});
    EXPECT_EQ(file.find("none")->shape, (Shape{0, 4}));
    EXPECT_EQ(file.metadata().at("network"), "custom \"cnn\"");
    EXPECT_EQ(file.metadata().at("empty"), "");
    EXPECT_EQ(file.metadata().at("fer.crc32").size(), 8u);
}

TEST(Safetensors, WideElementsComeFirstAndDataIsAligned) {
    const std::string image = Sample().image();
    std::uint64_t length = 0;
    std::memcpy(&length, image.data(), sizeof length);
    EXPECT_EQ(length % 8, 0u);
    const SafetensorsFile file(image, "a");
    for (const auto& entry : file.entries()) {
        EXPECT_EQ(entry.begin % size_of(entry.dtype), 0u) << entry.name;
    }
}

TEST(Safetensors, SameTensorsSameBytes) { EXPECT_EQ(Sample().image(), Sample().image()); }

TEST(Safetensors, WrongNamesAndTypesAreUsageErrors) {
    const SafetensorsFile file(Sample().image(), "a.safetensors");
    EXPECT_EQ(file.find("bias"), nullptr);
    EXPECT_THAT(error_of<UsageError>([&] { file.get<float>("bias"); }),
                HasSubstr("a.safetensors has no tensor 'bias'"));
    EXPECT_THAT(error_of<UsageError>([&] { file.get<float>("loss"); }), HasSubstr("'loss' in a.safetensors is f64"));
}

// Cut anywhere, a file is refused: in its length, in its header, in its data.
TEST(Safetensors, EveryTruncationIsRefused) {
    const std::string image = Sample().image();
    for (std::size_t bytes = 0; bytes < image.size(); ++bytes) {
        SCOPED_TRACE(bytes);
        rejection(image.substr(0, bytes));
    }
    rejection(image + '\0');
}

// A flipped bit may leave a valid file only where it changes nothing that is stored: the name of a tensor or of its
// metadata. Data, offsets, lengths and the checksum are all caught, and nothing worse than an Error ever happens.
TEST(Safetensors, FlippedBitsAreRefusedOrHarmless) {
    const Sample sample;
    const std::string image = sample.image();
    std::uint64_t length = 0;
    std::memcpy(&length, image.data(), sizeof length);
    for (std::size_t at = 0; at < image.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string damaged = image;
            damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
            try {
                const SafetensorsFile file(damaged, "damaged.safetensors");
                ASSERT_GE(at, sizeof length);
                ASSERT_LT(at, sizeof length + length) << "damaged data was accepted";
                const auto* weights = file.find("weights");
                if (weights != nullptr && weights->dtype == DType::kF32) {
                    EXPECT_EQ(
                        std::memcmp(file.data(*weights), sample.weights.data(), sample.weights.size() * sizeof(float)),
                        0);
                }
            } catch (const DataError& error) {
                EXPECT_THAT(error.what(), HasSubstr("damaged.safetensors"));
            }
        }
    }
}

TEST(Safetensors, DamagedDataNamesTheChecksums) {
    std::string image = Sample().image();
    image.back() = static_cast<char>(image.back() ^ 1);
    EXPECT_THAT(rejection(image), AllOf(HasSubstr("checksum"), HasSubstr("the data is damaged")));
}

TEST(Safetensors, FilesWithoutOurChecksumAreRead) {
    const SafetensorsFile file(with_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}   )", "abcd"),
                               "a");
    EXPECT_EQ(file.get<float>("a").size(), 1u);
    EXPECT_TRUE(file.metadata().empty());
}

TEST(Safetensors, ImpossibleLengths) {
    EXPECT_THAT(rejection(""), HasSubstr("it is empty"));
    EXPECT_THAT(rejection("1234567"), HasSubstr("shorter than its header length"));
    EXPECT_THAT(rejection(with_header("{}", "", 3)), HasSubstr("truncated inside its header"));
    EXPECT_THAT(rejection(with_header("{}", "", ~std::uint64_t{0})), HasSubstr("header length is impossible"));
    EXPECT_THAT(rejection(with_header("{}", "", std::uint64_t{1} << 40)), HasSubstr("header length is impossible"));
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
    return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

struct Bad {
    const char* what;
    std::string header;
    std::string data;
    const char* says;
};

std::vector<Bad> bad_headers() {
    const std::string four = "abcd", eight = "abcdefgh";
    const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
        return "{" + tensor("w", dtype, shape, offsets) + "}";
    };
    const auto two = [](const std::string& a, const std::string& b) {
        return "{" + tensor("a", "F32", "[1]", a) + "," + tensor("b", "F32", "[1]", b) + "}";
    };
    return {
        {"overlap", two("[0,4]", "[2,6]"), eight, "begins at 2"},
        {"same bytes twice", two("[0,4]", "[0,4]"), four, "begins at 0"},
        {"hole", two("[0,4]", "[5,9]"), "123456789", "begins at 5"},
        {"hole at the start", one("F32", "[1]", "[4,8]"), eight, "begins at 4"},
        {"data nobody describes", one("F32", "[1]", "[0,4]"), eight, "8 bytes of data, the header describes 4"},
        {"ends before it begins", one("F32", "[1]", "[4,0]"), four, "does not lie in the file"},
        {"beyond the end", one("F32", "[2]", "[0,8]"), four, "'w'"},
        {"size is not the shape's", one("F32", "[2]", "[0,4]"), four, "'w'"},
        {"huge offset", one("F32", "[1]", "[0,18446744073709551615]"), four, "'w'"},
        {"offset too large for 64 bits", one("F32", "[1]", "[0,99999999999999999999]"), four, "'w'"},
        {"negative offset", one("F32", "[1]", "[-4,0]"), four, "'w'"},
        {"fractional offset", one("F32", "[1]", "[0,4.0]"), four, "'w'"},
        {"three offsets", one("F32", "[1]", "[0,4,8]"), four, "'w'"},
        {"product overflows", one("F32", "[4294967296,4294967296]", "[0,0]"), "", "impossible shape"},
        {"product overflows with a zero", one("F32", "[4294967296,4294967296,0]", "[0,0]"), "", "impossible shape"},
        {"bytes overflow", one("F64", "[2305843009213693952]", "[0,0]"), "", "impossible shape"},
        {"negative extent", one("F32", "[-1]", "[0,4]"), four, "impossible shape"},
        {"five axes", one("F32", "[1,1,1,1,1]", "[0,4]"), four, "impossible shape"},
        {"shape is a number", one("F32", "1", "[0,4]"), four, "lacks dtype, shape or data_offsets"},
        {"unknown type", one("F128", "[1]", "[0,4]"), four, "unsupported type"},
        {"type is a number", R"({"w":{"dtype":4,"shape":[1],"data_offsets":[0,4]}})", four, "lacks dtype"},
        {"no type", R"({"w":{"shape":[1],"data_offsets":[0,4]}})", four, "lacks dtype"},
        {"no shape", R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", four, "lacks dtype"},
        {"no offsets", R"({"w":{"dtype":"F32","shape":[1]}})", four, "lacks dtype"},
        {"tensor is a list", R"({"w":[]})", "", "'w'"},
        {"tensor twice", "{" + tensor("w", "F32", "[1]", "[0,4]") + "," + tensor("w", "F32", "[1]", "[4,8]") + "}",
         eight, "key 'w' appears twice"},
        {"field twice", R"({"w":{"dtype":"F32","dtype":"F64","shape":[1],"data_offsets":[0,4]}})", four,
         "key 'dtype' appears twice"},
        {"metadata not text", R"({"__metadata__":{"step":3}})", "", "metadata 'step' is not a string"},
        {"metadata not an object", R"({"__metadata__":"x"})", "", "metadata is not an object"},
        {"metadata a list", R"({"__metadata__":["x"]})", "", "metadata is not an object"},
        {"wrong checksum", R"({"__metadata__":{"fer.crc32":"00000001"}})", "", "checksum"},
        {"not JSON", "{\"w\":", "", "not JSON"},
        {"a list", "[]", "", "does not start with '{'"},
        {"leading space", " {}", "", "does not start with '{'"},
        {"text behind", "{} {}", "", "not JSON"},
        {"bad UTF-8", "{\"\xff\":1}", "", "not JSON"},
        {"deep", std::string(R"({"a":{"b":{"c":{"d":{"e":{"f":{"g":{"h":{"i":{}}}}}}}}}})"), "", "nested too deeply"},
        {"deep lists", R"({"w":)" + std::string(100000, '[') + std::string(100000, ']') + "}", "", "'w'"},
    };
}

TEST(Safetensors, BadHeadersAreRefusedWithAReason) {
    for (const Bad& bad : bad_headers()) {
        SCOPED_TRACE(bad.what);
        EXPECT_THAT(rejection(with_header(bad.header, bad.data)), HasSubstr(bad.says));
    }
}

TEST(Safetensors, OtherFilesAreRecognised) {
    const std::string body(200, 'x');
    EXPECT_THAT(rejection("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n"),
                HasSubstr("Git LFS pointer"));
    EXPECT_THAT(rejection("\x89HDF\r\n\x1a\n" + body), HasSubstr("HDF5"));
    EXPECT_THAT(rejection("PK\x03\x04 a zip archive" + body), HasSubstr("zip archive"));
    EXPECT_THAT(rejection("<!DOCTYPE html><html>" + body), HasSubstr("HTML"));
    EXPECT_THAT(rejection(body), HasSubstr("header length is impossible"));
}

/// Bytes of this process's own memory, besides what files lend it.
std::int64_t anonymous_bytes() {
    std::ifstream in("/proc/self/statm");
    std::int64_t all = 0, resident = 0, shared = 0;
    in >> all >> resident >> shared;
    return (resident - shared) * ::sysconf(_SC_PAGESIZE);
}

// 94 MB, as of ResNet50V2: open, all of the checksum included.
TEST(Safetensors, ALargeFileIsMappedAndCheckedInTime) {
    const TemporaryFolder folder;
    const std::vector<float> values(23'500'000, 0.25f);
    const std::vector<TensorView> views{{"a", DType::kF32, {23'500'000}, values.data()}};
    write_safetensors(folder / "a.safetensors", views, {});
    double soonest = 1;
    for (int i = 0; i < 20 && soonest > 0.1; ++i) {  // another process may have had the processor
        const std::int64_t before = anonymous_bytes();
        const auto start = std::chrono::steady_clock::now();
        const SafetensorsFile file(folder / "a.safetensors");
        soonest = std::min(soonest, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
        EXPECT_LT(anonymous_bytes() - before, 8 << 20) << "it was copied";
        EXPECT_EQ(file.get<float>("a").back(), 0.25f);
    }
#ifndef FER_CHECKED
    EXPECT_LT(soonest, 0.1);
#endif
}

// Others may begin their tensors anywhere; ours begin where their type wants.
TEST(Safetensors, TensorsAtOddAddressesAreCopied) {
    const TemporaryFolder folder;
    const float values[] = {1.5f, -2};
    const std::string data = std::string("\7", 1) + std::string(reinterpret_cast<const char*>(values), sizeof values);
    write_file(folder / "odd.safetensors", with_header(R"({"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                                       R"("f":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})",
                                                       data));
    std::optional<SafetensorsFile> first(folder / "odd.safetensors");
    const SafetensorsFile file = *first;
    first.reset();
    const auto floats = file.get<float>("f");
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(floats.data()) % alignof(float), 0u);
    EXPECT_THAT(floats, ::testing::ElementsAre(1.5f, -2));
    EXPECT_THAT(file.get<std::uint8_t>("u"), ::testing::ElementsAre(7));
}

// Training renames a new file over the one that another program has open.
TEST(Safetensors, AReplacedFileStaysAsItWas) {
    const TemporaryFolder folder;
    Sample sample;
    sample.write(folder / "a.safetensors");
    const SafetensorsFile file(folder / "a.safetensors");
    sample.weights.assign(6, 9);
    sample.write(folder / "a.safetensors");
    EXPECT_EQ(file.get<float>("weights")[0], 1.5f);
    EXPECT_EQ(SafetensorsFile(folder / "a.safetensors").get<float>("weights")[0], 9);
}

TEST(Safetensors, AMissingFileIsNamed) {
    EXPECT_THAT(error_of<DataError>([] { SafetensorsFile("/nowhere/a.safetensors"); }),
                HasSubstr("/nowhere/a.safetensors"));
}

TEST(Safetensors, AFailedWriteLeavesNothing) {
    const TemporaryFolder folder;
    EXPECT_THAT(error_of<OutputError>([&] { Sample().write(folder / "missing/a.safetensors"); }),
                HasSubstr("a.safetensors"));
    EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace fer::test

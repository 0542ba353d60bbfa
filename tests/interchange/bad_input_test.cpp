// Files that are damaged, hostile, or something else than their name says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zip.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/core/file.hpp"
#include "engine/core/random.hpp"
#include "engine/formats/isolated.hpp"
#include "engine/interchange/torch_weights.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/keras_files.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

#ifdef FER_CHECKED
constexpr std::chrono::milliseconds kSoon{5000};
#else
constexpr std::chrono::milliseconds kSoon{100};
#endif

class BadFile : public ::testing::Test {
protected:
    /// The message and its reason, given in time.
    std::string refusal(const std::string& name, std::string_view bytes) const {
        write_file(folder_ / name, bytes);
        return refusal(folder_ / name);
    }
    /// The best of three: another process may have had the processor.
    static std::string refusal(const fs::path& path) {
        std::string text = "nothing was refused";
        auto soonest = std::chrono::steady_clock::duration::max();
        for (int i = 0; i < 3 && soonest >= kSoon; ++i) {
            const auto start = std::chrono::steady_clock::now();
            try {
                import(path);
            } catch (const DataError& error) {
                text = std::string(error.what()) + " / " + error.why();
            }
            soonest = std::min(soonest, std::chrono::steady_clock::now() - start);
        }
        EXPECT_LT(soonest, kSoon) << text;
        return text;
    }
    static void import(const fs::path& path) {
        const KerasFile file = read_keras(path);
        const KerasModel model = parse_keras_config(file.config, path.filename().string());
        take_weights(model, file, path.filename().string());
    }

    const TemporaryFolder folder_;
    const std::string h5_ = read_file(golden_path("interchange/random_003.h5"));
    const std::string keras_ = read_file(golden_path("interchange/random_005.keras"));
};

TEST_F(BadFile, SomethingElse) {
    EXPECT_THAT(refusal("w.h5", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 94765736\n"),
                AllOf(HasSubstr("w.h5 is a Git LFS pointer"), HasSubstr("not a Keras file")));
    EXPECT_THAT(refusal("w.h5", "\n<!DOCTYPE html><html></html>"), HasSubstr("w.h5 is a web page"));
    EXPECT_THAT(refusal("w.h5", ""), HasSubstr("w.h5 is empty"));
    EXPECT_THAT(refusal("w.h5", std::string("\x80\x02", 2) + "}q\x00"), HasSubstr("Python pickle"));
    EXPECT_THAT(refusal("w.h5", "hello, this is text"), HasSubstr("of no known kind"));
    EXPECT_THAT(refusal(folder_.path()), HasSubstr("it is a folder"));
    EXPECT_THAT(refusal(folder_ / "none.h5"), HasSubstr("cannot read"));
    // A zip that is no archive of Keras.
    EXPECT_THAT(refusal("w.keras", "PK\x03\x04 not really"), HasSubstr("not a usable .keras archive"));
}

TEST_F(BadFile, TruncatedAnywhere) {
    for (const double part : {0.0003, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999}) {
        SCOPED_TRACE(part);
        const auto cut = [&](const std::string& bytes) {
            return bytes.substr(0, static_cast<std::size_t>(part * static_cast<double>(bytes.size())) + 8);
        };
        EXPECT_THAT(refusal("w.h5", cut(h5_)), HasSubstr("w.h5 is not a usable Keras file"));
        EXPECT_THAT(refusal("w.keras", cut(keras_)), HasSubstr("w.keras is not a usable .keras archive"));
    }
    EXPECT_THAT(refusal("w.h5", h5_.substr(0, h5_.size() - 1)), HasSubstr("it is truncated"));
}

// Most flips fall into weights, where nothing can notice; none may do more harm than a refusal.
TEST_F(BadFile, FlippedBits) {
    int refused = 0;
    constexpr int kFlips = 400;
    for (int i = 0; i < kFlips; ++i) {
        const RandomStream random(11, static_cast<std::uint64_t>(i), 0);
        std::string bytes = i % 4 == 3 ? keras_ : h5_;
        for (std::uint64_t k = 0; k < 1 + static_cast<std::uint64_t>(i) % 3; ++k) {
            const auto at = static_cast<std::size_t>(random.uniform(k) * static_cast<float>(bytes.size() - 1));
            bytes[at] ^= static_cast<char>(1 << (i % 8));
        }
        write_file(folder_ / "w.h5", bytes);
        SCOPED_TRACE(i);
        try {
            import(folder_ / "w.h5");
        } catch (const DataError&) {
            ++refused;
        }
    }
    EXPECT_GT(refused, kFlips / 20);
    EXPECT_LT(refused, kFlips);
}

void add_member(zip_t* archive, const char* name, const std::string& bytes, zip_int32_t method) {
    const zip_int64_t index =
        zip_file_add(archive, name, zip_source_buffer(archive, bytes.data(), bytes.size(), 0), ZIP_FL_ENC_UTF_8);
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), method, 0);
}

std::string zip_of(const fs::path& path, const std::map<std::string, std::string>& members, zip_int32_t method) {
    int code = 0;
    zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
    for (const auto& [name, bytes] : members) {
        add_member(archive, name.c_str(), bytes, method);
    }
    zip_close(archive);
    return path.string();
}

TEST_F(BadFile, HostileArchives) {
    const fs::path path = folder_ / "w.keras";
    zip_of(path, {{"../../etc/config.json", "{}"}, {"config.json", "{}"}}, ZIP_CM_STORE);
    EXPECT_THAT(refusal(path), HasSubstr("points outside the archive"));
    zip_of(path, {{"config.json", "{}"}, {"metadata.json", "{}"}}, ZIP_CM_STORE);
    EXPECT_THAT(refusal(path), HasSubstr("it has no model.weights.h5"));
    zip_of(path, {{"config.json", std::string(std::size_t{7} << 20, ' ')}}, ZIP_CM_DEFLATE);
    EXPECT_THAT(refusal(path), HasSubstr("config.json unpacks from"));
    zip_of(path, {{"config.json", std::string(std::size_t{9} << 20, ' ')}}, ZIP_CM_STORE);
    EXPECT_THAT(refusal(path), HasSubstr("config.json unpacks from"));
    zip_of(path, {{"config.json", std::string(1 << 16, ' ')}}, ZIP_CM_DEFLATE);
    std::string lies = read_file(path);  // about the size of what it unpacks to
    const std::uint32_t small = 100;
    const std::size_t directory = lies.find("PK\1\2");
    ASSERT_NE(directory, std::string::npos);
    std::memcpy(lies.data() + directory + 24, &small, sizeof small);
    EXPECT_THAT(refusal("lies.keras", lies), HasSubstr("lies.keras is not a usable .keras archive"));
    zip_of(path, {{"config.json", "{}"}, {"metadata.json", "{}"}, {"model.weights.h5", "not HDF5"}}, ZIP_CM_STORE);
    EXPECT_THAT(refusal(path), HasSubstr("shorter than the first block"));
}

/// A model of one layer, as a file.
class BadModel : public BadFile {
protected:
    static nlohmann::json model_of(const nlohmann::json& layer) {
        return {{"class_name", "Sequential"},
                {"config",
                 {{"name", "net"},
                  {"layers",
                   {{{"class_name", "InputLayer"}, {"config", {{"batch_input_shape", {nullptr, 8, 8, 1}}}}},
                    layer,
                    {{"class_name", "Flatten"}, {"config", {{"name", "flat"}}}}}}}}};
    }
    static std::string refusal_of(const nlohmann::json& model) {
        try {
            parse_keras_config(model.dump(), "net.h5");
        } catch (const DataError& error) {
            return std::string(error.what()) + " / " + error.why();
        }
        return "nothing was refused";
    }
    static std::string refused(const std::string& class_name, const nlohmann::json& config) {
        nlohmann::json named = config;
        named["name"] = "odd_one";
        return refusal_of(model_of({{"class_name", class_name}, {"config", named}}));
    }
};

TEST_F(BadModel, LayersAreRefusedByName) {
    EXPECT_THAT(refused("Lambda", {{"function", "import os"}}),
                AllOf(HasSubstr("layer 'odd_one'"), HasSubstr("nothing in a file is executed")));
    EXPECT_THAT(refused("TFOpLambda", {}), HasSubstr("nothing in a file is executed"));
    EXPECT_THAT(refused("LSTM", {{"units", 3}}), HasSubstr("the class LSTM is not supported"));
    const nlohmann::json conv{{"filters", 2}, {"kernel_size", {3, 3}}};
    const auto with = [&](const char* key, const nlohmann::json& value) {
        nlohmann::json changed = conv;
        changed[key] = value;
        return refused("Conv2D", changed);
    };
    EXPECT_THAT(with("dilation_rate", {2, 2}), HasSubstr("only 1 is supported"));
    EXPECT_THAT(with("groups", 2), HasSubstr("grouped convolution"));
    EXPECT_THAT(with("kernel_size", {1, 3}), HasSubstr("only square ones"));
    EXPECT_THAT(with("data_format", "channels_first"), HasSubstr("channels_first"));
    EXPECT_THAT(with("activation", "tanh"), HasSubstr("its activation is 'tanh'"));
    EXPECT_THAT(with("padding", "causal"), HasSubstr("'causal'"));
    EXPECT_THAT(with("filters", 1e12), HasSubstr("'filters'"));
    EXPECT_THAT(with("filters", -3), HasSubstr("'filters'"));
    EXPECT_THAT(with("filters", "many"), HasSubstr("'filters'"));
    EXPECT_THAT(with("kernel_size", {99, 99}), HasSubstr("does not fit into"));
    EXPECT_THAT(refused("DepthwiseConv2D", {{"kernel_size", 3}, {"depth_multiplier", 2}}), HasSubstr("only 1"));
    EXPECT_THAT(refused("ReLU", {{"max_value", 4}}), HasSubstr("another maximum"));
    EXPECT_THAT(refused("BatchNormalization", {{"axis", 1}}), HasSubstr("normalizes axis 1"));
    EXPECT_THAT(refused("Dense", {{"units", 3}}), HasSubstr("only vectors"));
    EXPECT_THAT(refused("Reshape", {{"target_shape", {5, 5, 1}}}), HasSubstr("of 64 elements"));
    EXPECT_THAT(refused("Conv2D", {}), HasSubstr("lacks 'kernel_size'"));
}

TEST_F(BadModel, GraphsThatAreNoClassifier) {
    EXPECT_THAT(refusal_of("text"), HasSubstr("not Keras's"));
    EXPECT_THAT(refusal_of({{"class_name", "Pipeline"}, {"config", {}}}), HasSubstr("it is a 'Pipeline'"));
    EXPECT_THAT(refusal_of({{"class_name", "Sequential"}, {"config", {{"layers", nlohmann::json::array()}}}}),
                HasSubstr("no layers"));
    nlohmann::json vectors = model_of({{"class_name", "Flatten"}, {"config", {{"name", "f"}}}});
    vectors["config"]["layers"][0]["config"]["batch_input_shape"] = {nullptr, 100};
    EXPECT_THAT(refusal_of(vectors), HasSubstr("its input is [null,100]"));
    std::string deep = "{\"class_name\":";
    for (int i = 0; i < 100'000; ++i) {
        deep += "[";
    }
    EXPECT_THAT(error_of<DataError>([&] { parse_keras_config(deep, "net.h5"); }), HasSubstr("net.h5"));
}

/// The file of a small model with one tensor changed.
TEST_F(BadModel, WeightsMissingSurplusMisshapenOrNotFinite) {
    const std::vector<float> numbers(64 * 2, 0.5f);
    std::vector<float> poisoned = numbers;
    poisoned[7] = NAN;
    nlohmann::json json = model_of({{"class_name", "Activation"}, {"config", {{"name", "a"}, {"activation", "relu"}}}});
    json["config"]["layers"].push_back({{"class_name", "Dense"}, {"config", {{"name", "d"}, {"units", 2}}}});
    const auto with = [&](std::vector<KerasTensor> tensors) {
        KerasFile file{.keras_version = "2.15.0", .config = json.dump(), .groups = {}, .storage = {}};
        file.groups.push_back({"d", std::move(tensors)});
        write_keras_h5(folder_ / "w.h5", file);
        return refusal(folder_ / "w.h5");
    };
    const KerasTensor kernel{"d/kernel:0", {64, 2}, numbers};
    const KerasTensor bias{"d/bias:0", {2}, std::span(numbers).first(2)};
    EXPECT_EQ(with({kernel, bias}), "nothing was refused");
    EXPECT_THAT(with({kernel}), HasSubstr("it has no bias for the layer 'd'"));
    EXPECT_THAT(with({kernel, bias, {"d/gamma:0", {2}, std::span(numbers).first(2)}}), HasSubstr("no place for"));
    EXPECT_THAT(with({{"d/kernel:0", {2, 64}, numbers}, bias}), HasSubstr("(2, 64), 'd/kernel' takes (64, 2)"));
    EXPECT_THAT(with({{"d/kernel:0", {64, 2}, poisoned}, bias}), HasSubstr("not finite"));
}

TEST_F(BadFile, StateDicts) {
    const auto refuses = [&](std::string_view bytes) {
        return error_of<DataError>(
            [&] { read_torch_weights(SafetensorsFile(std::string(bytes), "m.safetensors"), "m.safetensors"); });
    };
    const std::string length("\xff\xff\xff\xff\xff\xff\xff\x7f", 8);  // 2^63 - 1
    EXPECT_THAT(refuses(length + "{\"a\":1}"), HasSubstr("not a usable safetensors file"));
    const std::string header = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    std::string bytes(8, '\0');
    bytes[0] = static_cast<char>(header.size());
    EXPECT_THAT(refuses(bytes + header + std::string(4, '\0')), HasSubstr("no network that fer knows"));
}

TEST(Isolation, CrashesHangsAndErrorsStayInTheirProcess) {
    const Isolation limits{.cpu_seconds = 0.05};
    EXPECT_THAT(error_of<DataError>([&] { run_isolated("f", limits, [](SharedMemory&) { ::raise(SIGSEGV); }); }),
                HasSubstr("f is damaged"));
    EXPECT_THAT(error_of<DataError>([&] {
                    run_isolated("f", limits, [](SharedMemory&) {
                        for (std::atomic<int> i{0};; ++i) {
                        }
                    });
                }),
                HasSubstr("f is damaged"));
    EXPECT_THAT(
        error_of<DataError>([&] { run_isolated("f", limits, [](SharedMemory&) { throw DataError("of its own"); }); }),
        HasSubstr("of its own"));
#ifndef FER_CHECKED  // the sanitizers take terabytes of addresses, so that nothing is limited there
    const Isolation little{.cpu_seconds = 1, .memory_bytes = 1 << 20};
    EXPECT_THAT(error_of<DataError>([&] {
                    run_isolated("f", little, [](SharedMemory&) {
                        const std::vector<char> much(1 << 28, 'x');
                        throw DataError(fmt::format("it has {} bytes", much.size()));
                    });
                }),
                Not(HasSubstr("it has")));
#endif
    const IsolatedBytes bytes = run_isolated("f", limits, [](SharedMemory& memory) { memory.resize(3)[1] = 'x'; });
    EXPECT_EQ(std::string(bytes.data.get(), bytes.size), std::string("\0x\0", 3));
}

}  // namespace
}  // namespace fer::test

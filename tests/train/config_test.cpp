// Settings: where each value comes from, and what a wrong one is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/train/config.hpp"
#include "models/models.hpp"
#include "tests/support/expect_error.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

/// An environment variable for a scope.
class Variable {
public:
    Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
    ~Variable() { ::unsetenv(name_); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    const char* name_;
};

const Setting& setting(std::string_view key) { return *std::ranges::find(settings(), key, &Setting::key); }

Config from_toml(const std::string& text) {
    Config config;
    apply_toml(config, text, "my.toml", Origin::kFile);
    return config;
}

std::string toml_error(const std::string& text) {
    return error_of<UsageError>([&] { from_toml(text); });
}

void flag(Config& config, std::string_view key, std::string_view text) {
    set_from_text(config, setting(key), text, Origin::kFlag, std::string(setting(key).flag));
}

TEST(Config, LaterOriginsWin) {
    // epochs is given by all five, each other key by one less.
    Config config;
    apply_recipe(config, "new_model");  // epochs 15, batch 64, lr 5e-4, reduce_lr patience 3
    apply_toml(config, "[train]\nepochs = 20\nbatch = 20\n[optimizer]\nlr = 0.02\n", "my.toml", Origin::kFile);
    const Variable epochs("FER_TRAIN_EPOCHS", "30");
    const Variable batch("FER_TRAIN_BATCH", "30");
    apply_environment(config);
    flag(config, "train.epochs", "40");
    EXPECT_EQ(config.train.epochs, 40);
    EXPECT_EQ(config.train.batch, 30);
    EXPECT_EQ(config.optimizer.lr, 0.02);
    EXPECT_EQ(config.reduce_lr.patience, 3);
    EXPECT_EQ(config.optimizer.beta_1, 0.9);
    const std::map<std::string, Origin> want{{"train.epochs", Origin::kFlag},
                                             {"train.batch", Origin::kEnvironment},
                                             {"optimizer.lr", Origin::kFile},
                                             {"reduce_lr.patience", Origin::kRecipe}};
    for (const auto& [key, origin] : want) {
        EXPECT_EQ(name_of(config.origin.at(key)), name_of(origin)) << key;
    }
    EXPECT_FALSE(config.origin.contains("optimizer.beta_1"));
    const std::string text = to_toml(config);
    EXPECT_THAT(text, ::testing::ContainsRegex("epochs = 40 +# flag\n"));
    EXPECT_THAT(text, ::testing::ContainsRegex("batch = 30 +# environment\n"));
    EXPECT_THAT(text, ::testing::ContainsRegex("lr = 0.02 +# file\n"));
    EXPECT_THAT(text, ::testing::ContainsRegex("patience = 3 +# recipe\n"));
    EXPECT_THAT(text, ::testing::ContainsRegex("beta_1 = 0.9 +# default\n"));
}

TEST(Config, DataHasAShortVariableAndAnEmptyOneIsUnset) {
    Config config;
    {
        const Variable data("FER_DATA", "faces.zip");
        apply_environment(config);
    }
    EXPECT_EQ(config.data.path, "faces.zip");
    const Variable data("FER_DATA", "");
    Config untouched;
    apply_environment(untouched);
    EXPECT_EQ(untouched.data.path, "synthetic");
}

TEST(Config, AWrongVariableIsNamed) {
    const Variable epochs("FER_TRAIN_EPOCHS", "many");
    Config config;
    EXPECT_THAT(error_of<UsageError>([&] { apply_environment(config); }),
                StartsWith("FER_TRAIN_EPOCHS: 'many' is not a whole number"));
}

TEST(Config, ATableThatIsThereIsEnabled) {
    EXPECT_FALSE(from_toml("[train]\nepochs = 1\n").early_stopping.enabled);
    EXPECT_TRUE(from_toml("[early_stopping]\npatience = 7\n").early_stopping.enabled);
    EXPECT_TRUE(from_toml("[reduce_lr]\n").reduce_lr.enabled);
    EXPECT_FALSE(from_toml("[reduce_lr]\nenabled = false\npatience = 7\n").reduce_lr.enabled);
}

struct BadToml {
    const char* text;
    const char* message;
};

class ConfigToml : public ::testing::TestWithParam<BadToml> {};

TEST_P(ConfigToml, IsRefusedWithItsPlace) { EXPECT_EQ(toml_error(GetParam().text), GetParam().message); }

INSTANTIATE_TEST_SUITE_P(
    Mistakes, ConfigToml,
    ::testing::Values(
        BadToml{"[train]\nepochs = 3\nepoch = 3\n",
                "unknown key 'epoch' in [train] / --> my.toml:3:1 / did you mean 'epochs'?"},
        BadToml{"[early_stopping]\n  patince = 3\n",
                "unknown key 'patince' in [early_stopping] / --> my.toml:2:3 / did you mean 'patience'?"},
        BadToml{"[optimizer]\nlr = 1\n[optimiser]\nlr = 1\n",
                "unknown table 'optimiser' / --> my.toml:3:2 / did you mean 'optimizer'?"},
        BadToml{"epochs = 3\n",
                "unknown key 'epochs' / --> my.toml:1:1 / one of: data, augment, train, optimizer, "
                "schedule, early_stopping, reduce_lr, checkpoint"},
        BadToml{"train = 3\n", "'train' must be a table / --> my.toml:1:1 / "},
        BadToml{"[train]\nepochs = \"3\"\n", "my.toml:2:1: train.epochs must be a whole number, not \"3\" /  / "},
        BadToml{"[train]\nepochs = 3.5\n", "my.toml:2:1: train.epochs must be a whole number, not 3.5 /  / "},
        BadToml{"[train]\nepochs = [3]\n", "my.toml:2:1: train.epochs must be a whole number, not a list /  / "},
        BadToml{"[train]\nmodel = 3\n", "my.toml:2:1: train.model must be text in quotes, not 3 /  / "},
        BadToml{"[optimizer]\nlr = true\n", "my.toml:2:1: optimizer.lr must be a number, not true /  / "},
        BadToml{"[data]\nstrict = 1\n", "my.toml:2:1: data.strict must be true or false, not 1 /  / "},
        BadToml{"[data]\nrescale = inf\n", "my.toml:2:1: data.rescale: 'inf' is not a finite number /  / "},
        BadToml{"[optimizer]\nlr = nan\n", "my.toml:2:1: optimizer.lr: 'nan' is not a finite number /  / "},
        BadToml{"[train]\nepochs = 0\n",
                "my.toml:2:1: train.epochs: 0 is out of range / train.epochs lies between 1 and 1000000 / "},
        BadToml{"[optimizer]\nname = \"adm\"\n",
                "my.toml:2:1: optimizer.name: unknown value 'adm' /  / did you mean 'adam'?"},
        BadToml{"[checkpoint]\nmonitor = \"val_los\"\n",
                "my.toml:2:1: checkpoint.monitor: unknown value 'val_los' /  / did you mean 'val_loss'?"}),
    [](const auto& at) { return fmt::format("Case{}", at.index); });

TEST(Config, TextThatIsNoTomlIsToldWhere) {
    const std::string text = toml_error("[train]\nepochs = \n");
    EXPECT_THAT(text, StartsWith("my.toml is not valid TOML / --> my.toml:2:1"));
}

struct BadText {
    const char* key;
    const char* text;
    const char* message;
};

class ConfigText : public ::testing::TestWithParam<BadText> {};

TEST_P(ConfigText, IsRefusedWithTheFlag) {
    Config config;
    const BadText& bad = GetParam();
    EXPECT_THAT(error_of<UsageError>([&] { flag(config, bad.key, bad.text); }), StartsWith(bad.message));
    EXPECT_THAT(config.origin, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Mistakes, ConfigText,
                         ::testing::Values(BadText{"train.epochs", "3.5", "--epochs: '3.5' is not a whole number"},
                                           BadText{"train.epochs", "", "--epochs: '' is not a whole number"},
                                           BadText{"train.epochs", "3x", "--epochs: '3x' is not a whole number"},
                                           BadText{"train.epochs", "99999999999",
                                                   "--epochs: '99999999999' is not a whole number"},
                                           BadText{"train.epochs", "-1", "--epochs: -1 is out of range"},
                                           BadText{"train.seed", "-1", "--seed: -1 is out of range"},
                                           BadText{"optimizer.lr", "fast", "--lr: 'fast' is not a number"},
                                           BadText{"optimizer.lr", "0", "--lr: 0 is out of range"},
                                           BadText{"optimizer.lr", "inf", "--lr: 'inf' is not a finite number"},
                                           BadText{"data.val_split", "1", "--val-split: 1 is out of range"},
                                           BadText{"data.split", "offical",
                                                   "--split: unknown value 'offical' /  / did you mean 'official'?"},
                                           BadText{"train.class_weight", "x",
                                                   "--class-weight: unknown value 'x' /  / one of: none, balanced"},
                                           BadText{"data.strict", "yes", "--strict: 'yes' is not true or false"}),
                         [](const auto& at) { return fmt::format("Case{}", at.index); });

/// Every setting at a value that is not its default.
Config all_changed() {
    Config config;
    const std::map<std::string_view, std::string_view> choices{
        {"data.split", "official"},         {"augment.fill_mode", "reflect"}, {"augment.affine_mode", "centred"},
        {"train.class_weight", "balanced"}, {"train.precision", "fp16"},      {"optimizer.name", "sgd"},
        {"data.preprocess", "backbone"},    {"data.resize", "nearest"},       {"train.weights", "a.safetensors"},
        {"schedule.name", "one_cycle"}};
    for (const Setting& s : settings()) {
        const Field field = s.field(config);
        if (auto* const* text = std::get_if<std::string*>(&field)) {
            const bool monitor = s.key.ends_with(".monitor");
            **text = choices.contains(s.key) ? choices.at(s.key) : monitor ? "accuracy" : "a \"b\"\\c\n\t\x7f#=ä";
        } else if (auto* const* number = std::get_if<double*>(&field)) {
            **number = 1.0 / 3.0;
        } else if (auto* const* whole = std::get_if<int*>(&field)) {
            **whole += 1234;
        } else if (auto* const* wide = std::get_if<std::int64_t*>(&field)) {
            **wide = (std::int64_t{1} << 53) + 1;
        } else {
            *std::get<bool*>(field) = !*std::get<bool*>(field);
        }
    }
    return config;
}

/// Without the comments, which tell the recipe and the origins.
std::string values_of(const Config& config) {
    std::string text = to_toml(config);
    text.erase(0, text.find("[data]"));
    for (std::size_t at = text.find("  #"); at != std::string::npos; at = text.find("  #", at)) {
        text.erase(at, text.find('\n', at) - at);
    }
    return text;
}

TEST(Config, SavedTextReadsBackAsTheSameValues) {
    for (const Config& config : {Config(), all_changed()}) {
        const Config again = from_toml(to_toml(config));
        EXPECT_EQ(values_of(again), values_of(config));
        EXPECT_EQ(again.origin.size(), settings().size());
    }
    EXPECT_EQ(from_toml(to_toml(all_changed())).data.path, "a \"b\"\\c\n\t\x7f#=ä");
}

TEST(Config, KeysAndFlagsAreUnique) {
    std::set<std::string_view> keys;
    std::set<std::string_view> flags;
    for (const Setting& s : settings()) {
        EXPECT_TRUE(keys.insert(s.key).second) << s.key;
        EXPECT_TRUE(s.flag.empty() || flags.insert(s.flag).second) << s.flag;
        Config config;
        const Field field = s.field(config);
        if (auto* const* number = std::get_if<double*>(&field)) {
            EXPECT_GE(**number, s.low) << s.key;
            EXPECT_LE(**number, s.high) << s.key;
        }
    }
}

TEST(Config, EveryRecipeNamesAModel) {
    ASSERT_FALSE(recipes().empty());
    for (const Recipe& recipe : recipes()) {
        SCOPED_TRACE(recipe.name);
        Config config;
        apply_recipe(config, recipe.name);
        EXPECT_EQ(config.recipe, recipe.name);
        EXPECT_NO_THROW(models::find(config.train.model));
        EXPECT_TRUE(config.origin.contains("train.model")) << "a recipe says which model it trains";
        const bool collapses = recipe.name.find("_lr") != std::string_view::npos;
        EXPECT_EQ(check(config).empty(), !collapses);
        EXPECT_EQ(values_of(from_toml(to_toml(config))), values_of(config));
    }
}

TEST(Config, EveryModelOfFortyEightPixelsHasItsRecipe) {
    for (const models::Model& model : models::all()) {
        if (model.height != 48) {
            continue;  // those start from weights that are not ours to ship
        }
        Config config;
        EXPECT_NO_THROW(apply_recipe(config, model.name));
        EXPECT_EQ(config.train.model, model.name);
    }
}

TEST(Config, UnknownRecipeAndModelNameTheNearest) {
    Config config;
    EXPECT_EQ(error_of<UsageError>([&] { apply_recipe(config, "quikstart"); }),
              "unknown recipe 'quikstart' /  / did you mean 'quickstart'?");
    EXPECT_THAT(error_of<UsageError>([&] { apply_recipe(config, "zzz"); }), HasSubstr("one of: custom_cnn, "));
    EXPECT_EQ(error_of<UsageError>([&] { models::find("simper_cnn"); }),
              "unknown model 'simper_cnn' /  / did you mean 'simpler_cnn'?");
}

TEST(Config, ChecksWhatNoSingleRowCan) {
    Config config;
    EXPECT_THAT(check(config), IsEmpty());
    config.optimizer.lr = 0.01;
    EXPECT_THAT(check(config), ::testing::ElementsAre(HasSubstr("learning rate 0.01 is high for Adam")));
    config.optimizer.name = "sgd";
    EXPECT_THAT(check(config), IsEmpty());
    config.optimizer.groups = "conv5_block1_1_conv = 0.1,dense=2";
    EXPECT_THAT(check(config), IsEmpty());
    ASSERT_EQ(rate_groups(config).size(), 2u);
    EXPECT_EQ(rate_groups(config)[0].layer, "conv5_block1_1_conv");
    EXPECT_EQ(rate_groups(config)[0].factor, 0.1f);
    for (const char* wrong : {"dense", "=2", "dense=fast", "dense=-1", "dense=2=x", "a=1,,b=1"}) {
        config.optimizer.groups = wrong;
        EXPECT_THAT(error_of<UsageError>([&] { check(config); }), HasSubstr("optimizer.groups: '")) << wrong;
    }
    config.optimizer.groups.clear();
    config.augment.brightness_low = 2;
    EXPECT_THAT(error_of<UsageError>([&] { check(config); }), HasSubstr("brightness_low 2 is above brightness_high 1"));
}

}  // namespace
}  // namespace fer::test

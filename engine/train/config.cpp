#include "engine/train/config.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "engine/core/random.hpp"
#include "engine/core/text.hpp"

namespace fer {
namespace {

/// Without spaces around them.
std::vector<std::string> split_words(std::string_view text, char separator) {
    std::vector<std::string> words;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(separator), text.size());
        std::string_view word = text.substr(0, end);
        word.remove_prefix(std::min(word.find_first_not_of(' '), word.size()));
        words.emplace_back(word.substr(0, word.find_last_not_of(' ') + 1));
        text.remove_prefix(std::min(text.size(), end + 1));
    }
    return words;
}

[[noreturn]] void wrong(const std::string& where, std::string_view text, const std::string& expected) {
    throw UsageError(fmt::format("{}: '{}' is not {}", where, text, expected));
}

template <class T>
T number(std::string_view text, const std::string& where, const char* expected) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        wrong(where, text, expected);
    }
    return value;
}

/// Shortest text that reads back as the same value; a float keeps a point so that TOML sees a float.
std::string text_of(const Field& field) {
    if (const auto* s = std::get_if<std::string*>(&field)) {
        std::string quoted = "\"";
        for (const char c : **s) {
            const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
            quoted += c == '"' || c == '\\' ? fmt::format("\\{}", c)
                      : control             ? fmt::format("\\u{:04x}", static_cast<unsigned>(c))
                                            : std::string(1, c);
        }
        return quoted + "\"";
    }
    if (const auto* d = std::get_if<double*>(&field)) {
        const std::string text = fmt::format("{}", **d);
        return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
    }
    if (const auto* b = std::get_if<bool*>(&field)) {
        return **b ? "true" : "false";
    }
    if (const auto* i = std::get_if<int*>(&field)) {
        return std::to_string(**i);
    }
    return std::to_string(*std::get<std::int64_t*>(field));
}

}  // namespace

std::string_view name_of(Origin origin) {
    constexpr std::array<std::string_view, 5> kNames{"default", "recipe", "file", "environment", "flag"};
    return kNames[static_cast<std::size_t>(origin)];
}

std::string value_text(const Config& config, const Setting& setting) {
    Config copy = config;
    return text_of(setting.field(copy));
}

void set_from_text(Config& config, const Setting& setting, std::string_view text, Origin origin,
                   const std::string& where) {
    const Field field = setting.field(config);
    const auto in_range = [&](double value) {
        if (!(value >= setting.low && value <= setting.high)) {
            throw UsageError(fmt::format("{}: {} is out of range", where, text))
                .because(fmt::format("{} lies between {} and {}", setting.key, setting.low, setting.high));
        }
    };
    if (auto* const* s = std::get_if<std::string*>(&field)) {
        const auto choices = split_words(setting.choices, '|');
        if (!choices.empty() && std::ranges::count(choices, text) == 0) {
            const std::string near = nearest(text, choices);
            throw UsageError(fmt::format("{}: unknown value '{}'", where, text))
                .try_this(near.empty() ? fmt::format("one of: {}", fmt::join(choices, ", "))
                                       : fmt::format("did you mean '{}'?", near));
        }
        **s = std::string(text);
    } else if (auto* const* d = std::get_if<double*>(&field)) {
        const double value = number<double>(text, where, "a number");
        if (!std::isfinite(value)) {
            wrong(where, text, "a finite number");
        }
        in_range(value);
        **d = value;
    } else if (auto* const* i = std::get_if<int*>(&field)) {
        const int value = number<int>(text, where, "a whole number");
        in_range(value);
        **i = value;
    } else if (auto* const* l = std::get_if<std::int64_t*>(&field)) {
        const auto value = number<std::int64_t>(text, where, "a whole number");
        in_range(static_cast<double>(value));
        **l = value;
    } else {
        if (text != "true" && text != "false") {
            wrong(where, text, "true or false");
        }
        *std::get<bool*>(field) = text == "true";
    }
    config.origin[std::string(setting.key)] = origin;
}

void apply_environment(Config& config) {
    for (const Setting& setting : settings()) {
        std::string name = "FER_";
        for (const char c : setting.key) {
            name += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        }
        if (setting.key == "data.path") {
            name = "FER_DATA";
        }
        const char* value = std::getenv(name.c_str());
        if (value != nullptr && *value != '\0') {
            set_from_text(config, setting, value, Origin::kEnvironment, name);
        }
    }
}

std::vector<std::string> check(const Config& config) {
    std::vector<std::string> warnings;
    if (config.optimizer.name == "adam" && config.optimizer.lr >= 0.01) {
        warnings.push_back(
            fmt::format("learning rate {} is high for Adam: the reference runs with 0.01 and 1 collapsed to "
                        "the majority class",
                        config.optimizer.lr));
    }
    FER_CHECK(!config.reduce_lr.enabled || config.reduce_lr.factor < 1, "reduce_lr.factor must be below 1, got {}",
              config.reduce_lr.factor);
    FER_CHECK(config.schedule.name == "none" || !config.reduce_lr.enabled,
              "schedule.name = \"{}\" and [reduce_lr] both move the learning rate: one of them", config.schedule.name);
    FER_CHECK(config.optimizer.global_clipnorm == 0 || config.optimizer.clipvalue == 0,
              "optimizer.global_clipnorm {} and optimizer.clipvalue {}: only one may be set",
              config.optimizer.global_clipnorm, config.optimizer.clipvalue);
    static_cast<void>(rate_groups(config));
    FER_CHECK(config.augment.brightness_low <= config.augment.brightness_high,
              "augment.brightness_low {} is above brightness_high {}", config.augment.brightness_low,
              config.augment.brightness_high);
    return warnings;
}

std::string to_toml(const Config& original) {
    Config config = original;
    std::string text = "# Resolved configuration; the comment tells where each value came from.\n";
    if (!config.recipe.empty()) {
        text += fmt::format("# recipe {}\n", config.recipe);
    }
    std::string table;
    for (const Setting& setting : settings()) {
        const std::string_view name = setting.key.substr(0, setting.key.find('.'));
        if (name != table) {
            table = name;
            text += fmt::format("\n[{}]\n", table);
        }
        const auto origin = config.origin.find(std::string(setting.key));
        const std::string line =
            fmt::format("{} = {}", setting.key.substr(name.size() + 1), text_of(setting.field(config)));
        text += fmt::format("{:<44}# {}\n", line,
                            name_of(origin == config.origin.end() ? Origin::kDefault : origin->second));
    }
    return text;
}

OptimizerAttrs optimizer_attrs(const Config& config) {
    const OptimizerConfig& o = config.optimizer;
    if (o.name == "sgd") {
        return SgdAttrs{.momentum = o.momentum, .nesterov = o.nesterov};
    }
    if (o.name == "rmsprop") {
        return RmsPropAttrs{.rho = o.rho, .momentum = o.momentum, .epsilon = o.epsilon};
    }
    return AdamAttrs{.beta1 = o.beta_1, .beta2 = o.beta_2, .epsilon = o.epsilon};
}

std::vector<RateGroup> rate_groups(const Config& config) {
    std::vector<RateGroup> groups;
    for (const std::string& part : split_words(config.optimizer.groups, ',')) {
        const std::string where = fmt::format("optimizer.groups: '{}'", part);
        const std::vector<std::string> words = split_words(part, '=');
        FER_CHECK(words.size() == 2 && !words[0].empty(), "{} is not LAYER=FACTOR", where);
        const double factor = number<double>(words[1], where, "a number");
        FER_CHECK(factor >= 0 && factor <= 1000, "{}: a factor lies between 0 and 1000", where);
        groups.push_back({words[0], static_cast<float>(factor)});
    }
    return groups;
}

AugmentAttrs augment_attrs(const Config& config) {
    const AugmentConfig& a = config.augment;
    return {.rotation = static_cast<float>(a.rotation_range),
            .height_shift = static_cast<float>(a.height_shift_range),
            .width_shift = static_cast<float>(a.width_shift_range),
            .shear = static_cast<float>(a.shear_range),
            .zoom = static_cast<float>(a.zoom_range),
            .horizontal_flip = a.horizontal_flip,
            .vertical_flip = a.vertical_flip,
            .brightness_low = static_cast<float>(a.brightness_low),
            .brightness_high = static_cast<float>(a.brightness_high),
            .fill = a.fill_mode == "constant"  ? FillMode::kConstant
                    : a.fill_mode == "reflect" ? FillMode::kReflect
                                               : FillMode::kNearest,
            .fill_value = static_cast<float>(a.cval),
            .centred = a.affine_mode == "centred",
            .crop = a.random_crop,
            .cutout = a.cutout,
            .cutout_share = static_cast<float>(a.cutout_probability),
            .stream = stream_of("augment")};
}

bool plans_its_length(const Config& config) {
    return config.schedule.name != "none" || (config.augment.mixup > 0 && config.augment.mixup_until < 1);
}

void apply_recipe(Config& config, std::string_view name) {
    std::vector<std::string_view> names;
    for (const Recipe& recipe : recipes()) {
        names.push_back(recipe.name);
        if (recipe.name == name) {
            apply_toml(config, recipe.toml, fmt::format("recipe {}", name), Origin::kRecipe);
            config.recipe = name;
            return;
        }
    }
    const std::string near = nearest(name, names);
    throw UsageError(fmt::format("unknown recipe '{}'", name))
        .try_this(near.empty() ? fmt::format("one of: {}", fmt::join(names, ", "))
                               : fmt::format("did you mean '{}'?", near));
}

}  // namespace fer

// Reading TOML over a configuration; apart because the parser is a large header.
#include <toml++/toml.h>

#include <algorithm>

#include "engine/core/text.hpp"
#include "engine/train/config.hpp"

namespace fer {
namespace {

std::string place(const std::string& file, const toml::source_region& region) {
    return fmt::format("{}:{}:{}", file, region.begin.line, region.begin.column);
}

[[noreturn]] void unknown(const std::string& what, const std::string& where, std::string_view key,
                          const std::vector<std::string>& known) {
    const std::string near = nearest(key, known);
    throw UsageError(fmt::format("unknown {}", what))
        .because("--> " + where)
        .try_this(near.empty() ? fmt::format("one of: {}", fmt::join(known, ", "))
                               : fmt::format("did you mean '{}'?", near));
}

struct Wanted {
    bool fits;
    const char* kind;
};

Wanted wanted(const Field& field, const toml::node& node) {
    if (std::holds_alternative<std::string*>(field)) {
        return {node.is_string(), "text in quotes"};
    }
    if (std::holds_alternative<bool*>(field)) {
        return {node.is_boolean(), "true or false"};
    }
    if (std::holds_alternative<double*>(field)) {
        return {node.is_number(), "a number"};
    }
    return {node.is_integer(), "a whole number"};
}

std::string shown(const toml::node& node) {
    if (const auto* s = node.as_string()) {
        return fmt::format("\"{}\"", s->get());
    }
    if (const auto* b = node.as_boolean()) {
        return b->get() ? "true" : "false";
    }
    if (const auto* f = node.as_floating_point()) {
        return fmt::format("{}", f->get());
    }
    return node.is_table() ? "a table" : node.is_array() ? "a list" : "a date or time";
}

/// The value as the text that set_from_text() takes; of the type the setting has, or a UsageError.
std::string text_of(const toml::node& node, const Setting& setting, const std::string& where) {
    Config scratch;
    const auto [fits, kind] = wanted(setting.field(scratch), node);
    if (!fits) {
        const auto* whole = node.as_integer();
        throw UsageError(fmt::format("{}: {} must be {}, not {}", where, setting.key, kind,
                                     whole != nullptr ? std::to_string(whole->get()) : shown(node)));
    }
    if (const auto* s = node.as_string()) {
        return s->get();
    }
    return node.is_integer() ? std::to_string(node.as_integer()->get()) : shown(node);
}

void apply_table(Config& config, const std::string& name, const toml::table& table, const std::string& file,
                 Origin origin) {
    std::vector<std::string> known;
    for (const Setting& setting : settings()) {
        if (setting.key.starts_with(name + ".")) {
            known.emplace_back(setting.key.substr(name.size() + 1));
        }
    }
    for (const char* optional : {"early_stopping", "reduce_lr"}) {
        if (name == optional && !table.contains("enabled")) {
            for (const Setting& setting : settings()) {
                if (setting.key == name + ".enabled") {
                    set_from_text(config, setting, "true", origin, file);
                }
            }
        }
    }
    for (const auto& [key, node] : table) {
        const std::string full = fmt::format("{}.{}", name, key.str());
        const std::string where = place(file, key.source());
        const auto setting = std::ranges::find(settings(), full, &Setting::key);
        if (setting == settings().end()) {
            unknown(fmt::format("key '{}' in [{}]", key.str(), name), where, key.str(), known);
        }
        set_from_text(config, *setting, text_of(node, *setting, where), origin, fmt::format("{}: {}", where, full));
    }
}

}  // namespace

void apply_toml(Config& config, std::string_view text, const std::string& file, Origin origin) {
    toml::table root;
    try {
        root = toml::parse(text);
    } catch (const toml::parse_error& error) {
        throw UsageError(fmt::format("{} is not valid TOML", file))
            .because(fmt::format("--> {}: {}", place(file, error.source()), error.description()));
    }
    std::vector<std::string> tables;
    for (const Setting& setting : settings()) {
        const std::string name(setting.key.substr(0, setting.key.find('.')));
        if (tables.empty() || tables.back() != name) {
            tables.push_back(name);
        }
    }
    for (const auto& [key, node] : root) {
        const std::string name(key.str());
        const std::string where = place(file, key.source());
        if (std::ranges::count(tables, name) == 0) {
            unknown(fmt::format("{} '{}'", node.is_table() ? "table" : "key", name), where, name, tables);
        }
        if (!node.is_table()) {
            throw UsageError(fmt::format("'{}' must be a table", name)).because("--> " + where);
        }
        apply_table(config, name, *node.as_table(), file, origin);
    }
}

}  // namespace fer

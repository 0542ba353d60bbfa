// The colours of a report. A plot is drawn in those for light paper; in a page each becomes a variable of its own,
// which the page sets for light and for dark.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace fer {

struct Ink {
    std::string_view name;  // --NAME in the page
    std::string_view light, dark;
};

// clang-format off
inline constexpr std::array kInks{
    Ink{"text",      "#1c2430", "#e6ebf2"},
    Ink{"muted",     "#66717f", "#97a3b4"},
    Ink{"grid",      "#dde2e9", "#2c3543"},
    Ink{"on-accent", "#fffffe", "#0b1220"},  // letters on a full cell
    Ink{"good",      "#15803d", "#4fd18b"},
    Ink{"bad",       "#c0271d", "#ff8a80"},
    Ink{"series-1",  "#2360e0", "#74a7ff"},
    Ink{"series-2",  "#d9540b", "#ffa262"},
    Ink{"series-3",  "#0c8f57", "#46d39a"},
    Ink{"series-4",  "#b01e91", "#f08ae0"},
    Ink{"series-5",  "#8b6b00", "#e2c14a"},
    Ink{"series-6",  "#0a84a5", "#54d2ee"},
    Ink{"series-7",  "#7236d8", "#bda0ff"},
    Ink{"series-8",  "#5b6472", "#aab6c6"},
};
// clang-format on

inline constexpr int kSeries = 8;

constexpr std::string_view ink(std::string_view name) {
    for (const Ink& one : kInks) {
        if (one.name == name) {
            return one.light;
        }
    }
    return {};
}

/// The colour of line `i`, round and round.
constexpr std::string_view series_ink(std::size_t i) { return kInks[kInks.size() - kSeries + i % kSeries].light; }

}  // namespace fer

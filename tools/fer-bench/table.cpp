#include "tools/fer-bench/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace fer::tool {
namespace {

std::string quoted(const std::string& cell) {
    if (cell.find_first_of(",\"\n") == std::string::npos) {
        return cell;
    }
    std::string text = "\"";
    for (const char c : cell) {
        text += c == '"' ? "\"\"" : std::string(1, c);
    }
    return text + "\"";
}

}  // namespace

std::string Table::text(Style style) const {
    std::vector<std::vector<std::string>> all{header_};
    all.insert(all.end(), rows_.begin(), rows_.end());
    std::vector<std::size_t> width(header_.size(), 0);
    for (const auto& row : all) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            width[i] = std::max(width[i], row[i].size());
        }
    }
    std::string text;
    for (const auto& row : all) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string padded =
                i < left_ ? fmt::format("{:<{}}", row[i], width[i]) : fmt::format("{:>{}}", row[i], width[i]);
            line += style == Style::kCsv        ? (i > 0 ? "," : "") + quoted(row[i])
                    : style == Style::kMarkdown ? "| " + row[i] + " "
                                                : (i > 0 ? "  " : "") + padded;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + (style == Style::kMarkdown ? " |\n" : "\n");
        if (style == Style::kMarkdown && &row == &all.front()) {
            for (std::size_t i = 0; i < header_.size(); ++i) {
                text += i < left_ ? "|---" : "|---:";
            }
            text += "|\n";
        }
    }
    return text;
}

std::string figure(double value) {
    if (value == 0 || !std::isfinite(value)) {
        return "-";
    }
    const int digits = 2 - static_cast<int>(std::floor(std::log10(std::abs(value))));
    return fmt::format("{:.{}f}", value, std::clamp(digits, 0, 6));
}

}  // namespace fer::tool

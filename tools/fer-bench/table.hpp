// A table of results as text for people, Markdown or CSV.
#pragma once

#include <string>
#include <vector>

namespace fer::tool {

class Table {
public:
    enum class Style { kText, kMarkdown, kCsv };

    /// The first `left` columns hold words and are set to the left.
    Table(std::vector<std::string> header, std::size_t left) : header_(std::move(header)), left_(left) {}

    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
    std::string text(Style style) const;

private:
    std::vector<std::string> header_;
    std::size_t left_;
    std::vector<std::vector<std::string>> rows_;
};

/// Three significant digits or all before the point: 0.0123, 1.23, 12.3, 1234; "-" for 0.
std::string figure(double value);

}  // namespace fer::tool

// Small pieces of HTML.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fer::html {

/// The style sheet of a report (page.css), without its colours.
extern const std::string_view kStyle;

/// Text as it may stand between tags and in attributes in double quotes.
std::string escaped(std::string_view text);

/// A whole document: style, the inks for light and dark, `body`. Asks for nothing over the network, has no script.
std::string page(std::string_view title, std::string_view body);

/// A small box of a name and a value.
std::string tile(std::string_view name, std::string_view value);

/// A cell of a table: HTML, and the class of its <td>.
struct Cell {
    std::string html;
    std::string_view kind = {};
};
/// A row, and the class of its <tr>.
struct Row {
    std::vector<Cell> cells;
    std::string_view kind = {};
};
/// A table in a card that scrolls sideways where it must. Of kind `words` it is no table of numbers.
std::string table(const std::vector<std::string>& headings, const std::vector<Row>& rows, std::string_view kind = {});

}  // namespace fer::html

#include "engine/report/html.hpp"

#include <fmt/format.h>

#include "engine/report/ink.hpp"

namespace fer::html {
namespace {

std::string inks(std::string_view Ink::*shade) {
    std::string text = ":root {";
    for (const Ink& one : kInks) {
        text += fmt::format(" --{}: {};", one.name, one.*shade);
    }
    return text + " }";
}

std::string attribute(std::string_view kind) { return kind.empty() ? "" : fmt::format(" class=\"{}\"", kind); }

}  // namespace

std::string escaped(std::string_view text) {
    std::string html;
    for (const char c : text) {
        switch (c) {
            case '&':
                html += "&amp;";
                break;
            case '<':
                html += "&lt;";
                break;
            case '>':
                html += "&gt;";
                break;
            case '"':
                html += "&quot;";
                break;
            case '\'':
                html += "&#39;";
                break;
            default:
                html += c;
        }
    }
    return html;
}

std::string page(std::string_view title, std::string_view body) {
    return fmt::format(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
        "'unsafe-inline'\">\n<title>{}</title>\n<style>\n{}\n@media (prefers-color-scheme: dark) {{ {} }}\n{}</style>\n"
        "</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
        escaped(title), inks(&Ink::light), inks(&Ink::dark), kStyle, body);
}

std::string tile(std::string_view name, std::string_view value) {
    return fmt::format("<div class=\"tile\"><small>{}</small><span>{}</span></div>\n", escaped(name), escaped(value));
}

std::string table(const std::vector<std::string>& headings, const std::vector<Row>& rows, std::string_view kind) {
    std::string text = fmt::format("<div class=\"card\"><table{}>\n", attribute(kind));
    text += headings.empty() ? "" : "<tr>";
    for (const std::string& heading : headings) {
        text += fmt::format("<th scope=\"col\">{}</th>", escaped(heading));
    }
    text += headings.empty() ? "" : "</tr>\n";
    for (const Row& row : rows) {
        text += fmt::format("<tr{}>", attribute(row.kind));
        for (const Cell& cell : row.cells) {
            text += fmt::format("<td{}>{}</td>", attribute(cell.kind), cell.html);
        }
        text += "</tr>\n";
    }
    return text + "</table></div>\n";
}

}  // namespace fer::html

#include "engine/report/plots.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "engine/core/error.hpp"
#include "engine/core/file.hpp"
#include "engine/report/gnuplot.hpp"
#include "engine/report/ink.hpp"
#include "engine/report/scratch_folder.hpp"

namespace fer {
namespace {

namespace fs = std::filesystem;

/// What all plots share: axes left and below, a light grid, the legend above.
std::string paper() {
    return fmt::format(
        "reset\nset encoding utf8\nset termoption noenhanced\n"
        "set border 3 linecolor rgb '{0}' linewidth 1\n"
        "set tics nomirror out scale 0.6 textcolor rgb '{0}'\n"
        "set grid noxtics ytics linecolor rgb '{1}' linewidth 1 linetype 1 dashtype solid\n"
        "set key outside top right horizontal samplen 1.6 textcolor rgb '{2}'\n"
        "set xlabel textcolor rgb '{0}'\nset ylabel textcolor rgb '{0}'\n",
        ink("muted"), ink("grid"), ink("text"));
}

std::string script_of(const std::vector<Plot*>& plots) {
    std::string script;
    for (const Plot* one : plots) {
        const Plot& plot = *one;
        script += fmt::format(
            "set terminal svg size {0},{1} rounded font 'Helvetica,13' name '{2}' background rgb '#ffffff'\n"
            "set output '{2}.svg'\n{3}{4}unset output\n"
            "set terminal pngcairo size {5},{6} rounded font 'Sans,13' fontscale 2 linewidth 2 background rgb "
            "'#ffffff'\n"
            "set output '{2}.png'\n{3}{4}unset output\n",
            plot.width, plot.height, plot.name, paper(), plot.commands, 2 * plot.width, 2 * plot.height);
    }
    return script;
}

std::string number_at(std::string_view text, std::size_t& at) {
    at = text.find_first_of("0123456789", at);
    const std::size_t end = text.find_first_not_of("0123456789", at);
    std::string digits(text.substr(at, end - at));
    at = end;
    return digits;
}

/// "rgb( 35,  96, 224)" -> "#2360e0"
std::string hex_of(std::string_view rgb) {
    std::string hex = "#";
    std::size_t at = 0;
    for (int channel = 0; channel < 3; ++channel) {
        hex += fmt::format("{:02x}", std::atoi(number_at(rgb, at).c_str()));
    }
    return hex;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
}

/// Both ways in which gnuplot writes a colour become the page's variable of it.
void use_page_colours(std::string& svg) {
    for (std::size_t at = svg.find("rgb("); at != std::string::npos; at = svg.find("rgb(", at + 1)) {
        const std::size_t end = svg.find(')', at);
        svg.replace(at, end + 1 - at, hex_of(std::string_view(svg).substr(at, end - at)));
    }
    for (const Ink& one : kInks) {
        std::string upper(one.light);
        std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return std::toupper(c); });
        const std::string variable = fmt::format("var(--{})", one.name);
        replace_all(svg, one.light, variable);
        replace_all(svg, upper, variable);
    }
    replace_all(svg, "fill=\"#ffffff\"", "fill=\"none\"");
    for (const char* part : {"fill", "stroke", "color"}) {
        replace_all(svg, fmt::format("{}=\"black\"", part), fmt::format("{}=\"currentColor\"", part));
    }
}

}  // namespace

std::optional<std::string> draw(const std::vector<Plot*>& plots) {
    if (plots.empty()) {
        return std::nullopt;
    }
    std::optional<ScratchFolder> scratch;
    try {
        scratch.emplace();
    } catch (const OutputError& error) {
        return error.what();
    }
    std::optional<std::string> failure = run_gnuplot(script_of(plots), scratch->path());
    for (Plot* plot : plots) {
        const fs::path folder = scratch->path();
        const fs::path svg = folder / (plot->name + ".svg"), png = folder / (plot->name + ".png");
        if (!failure && fs::exists(svg) && fs::exists(png)) {
            plot->svg = read_file(svg);
            plot->png = read_file(png);
        }
    }
    return failure;
}

std::string inline_svg(const Plot& plot) {
    const std::size_t start = plot.svg.find("<svg");
    if (start == std::string::npos) {
        return {};
    }
    std::string svg = plot.svg.substr(plot.svg.find('>', start) + 1);
    // Comments, the program's name and its title say nothing about the picture.
    for (const auto& [from, to] : {std::pair<std::string_view, std::string_view>{"<!--", "-->"},
                                   {"<title>", "</title>"},
                                   {"<desc>", "</desc>"}}) {
        for (std::size_t at = svg.find(from); at != std::string::npos; at = svg.find(from, at)) {
            const std::size_t end = svg.find(to, at);
            svg.erase(at, end == std::string::npos ? std::string::npos : end + to.size() - at);
        }
    }
    use_page_colours(svg);
    return fmt::format(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\" "
        "xmlns:xlink=\"http://www.w3.org/1999/xlink\">{}",
        plot.width, plot.height, svg);
}

}  // namespace fer

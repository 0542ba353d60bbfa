#include "tools/fer-bench/profile_files.hpp"

#include <algorithm>
#include <array>

namespace fer::tool {
namespace {

constexpr std::size_t kPictured = 24;  // nodes
// Of the phases: data, forward, loss, backward, optimizer.
constexpr std::array kColors{"#8c8c8c", "#4477aa", "#aa3377", "#ee8866", "#228833"};

const char* color_of(Phase phase) { return kColors[static_cast<std::size_t>(phase)]; }

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
    }
    return out;
}

std::string label(double x, double y, const std::string& text, const char* anchor = "start",
                  const char* weight = "normal") {
    return fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='{}' font-weight='{}'>{}</text>\n", x, y, anchor,
                       weight, escaped(text));
}

std::string box(double x, double y, double width, double height, const char* fill, double opacity = 1) {
    return fmt::format("<rect x='{:.1f}' y='{:.1f}' width='{:.1f}' height='{:.1f}' fill='{}' fill-opacity='{}'/>\n", x,
                       y, std::max(0.5, width), height, fill, opacity);
}

/// The phases as one bar, a legend of their shares below.
std::string phase_bar(const std::vector<NodeRow>& rows, double left, double top, double width) {
    std::string text;
    double x = left;
    double legend = left;
    for (std::size_t p = 0; p < kColors.size(); ++p) {
        double share = 0;
        for (const NodeRow& r : rows) {
            share += r.phase == static_cast<Phase>(p) ? r.share : 0;
        }
        if (share > 0) {
            text += box(x, top, width * share / 100, 18, kColors[p]);
            x += width * share / 100;
            text += box(legend, top + 28, 10, 10, kColors[p]);
            text += label(legend + 15, top + 37, fmt::format("{} {:.1f} %", name_of(static_cast<Phase>(p)), share));
            legend += 140;
        }
    }
    return text;
}

}  // namespace

Json profile_json(const std::vector<NodeRow>& rows, const ProfileTitle& title, const Peaks& peaks) {
    Json nodes = Json::array();
    for (const NodeRow& r : rows) {
        nodes.push_back({{"node", r.name},
                         {"phase", name_of(r.phase)},
                         {"implementation", r.implementation},
                         {"ms", r.ms},
                         {"flops", r.flops},
                         {"bytes", r.bytes},
                         {"bound_by", name_of(r.limit.bound)},
                         {"limit_ms", r.limit.seconds * 1e3},
                         {"next_best", r.next_best},
                         {"graph_nodes", {r.recorded.first, r.recorded.second}}});
    }
    return {{"schema", "fer-bench-profile/1"},
            {"model", title.model},
            {"phase", title.phase},
            {"batch", title.batch},
            {"precision", title.precision},
            {"device", title.device},
            {"peaks", {{"flops_per_s", peaks.flops_per_s}, {"bytes_per_s", peaks.bytes_per_s}}},
            {"step_ms", title.step_ms},
            {"nodes", std::move(nodes)}};
}

Json trtexec_json(const std::vector<NodeRow>& rows, int steps) {
    Json list = Json::array({{{"count", steps}}});
    for (const NodeRow& r : rows) {
        list.push_back({{"name", r.name},
                        {"timeMs", r.ms * steps},
                        {"averageMs", r.ms},
                        {"percentage", r.share},
                        {"flops", r.flops},
                        {"bytes", r.bytes},
                        {"implementation", r.implementation}});
    }
    return list;
}

Json trace_json(std::vector<NodeRow> rows) {
    std::ranges::sort(rows, {}, &NodeRow::step);
    Json events = Json::array();
    double at = 0;
    const auto event = [](const std::string& name, const char* kind, double start, double ms, int lane, Json more) {
        return Json{{"name", name},    {"cat", kind}, {"ph", "X"},   {"ts", start * 1e3},
                    {"dur", ms * 1e3}, {"pid", 1},    {"tid", lane}, {"args", std::move(more)}};
    };
    for (std::size_t i = 0; i < rows.size();) {
        const double start = at;
        const std::size_t first = i;
        for (; i < rows.size() && rows[i].phase == rows[first].phase; ++i) {
            const NodeRow& r = rows[i];
            events.push_back(event(r.name, "node", at, r.ms, 2,
                                   {{"implementation", r.implementation},
                                    {"flops", r.flops},
                                    {"bytes", r.bytes},
                                    {"bound by", name_of(r.limit.bound)},
                                    {"percent of limit", r.percent_of_limit()}}));
            at += r.ms;
        }
        events.push_back(event(std::string(name_of(rows[first].phase)), "phase", start, at - start, 1, Json::object()));
    }
    return {{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}};
}

std::string profile_svg(std::vector<NodeRow> rows, const ProfileTitle& title) {
    constexpr double kLeft = 220, kWidth = 360, kLine = 20, kTop = 110;
    std::ranges::stable_sort(rows, std::ranges::greater{}, &NodeRow::ms);
    const std::size_t count = std::min(rows.size(), kPictured);
    const double longest = rows.empty() ? 1 : std::max(1e-9, rows[0].ms);
    const double height = kTop + kLine * static_cast<double>(count) + 30;
    std::string text = fmt::format(
        "<svg xmlns='http://www.w3.org/2000/svg' width='900' height='{0}' viewBox='0 0 900 {0}' "
        "font-family='sans-serif' "
        "font-size='12'>\n<rect width='900' height='{0}' fill='white'/>\n",
        height);
    text += label(10, 22,
                  fmt::format("{} {}, batch {}, {}: {:.2f} ms a step, node by node", title.model, title.phase,
                              title.batch, title.precision, title.step_ms),
                  "start", "bold");
    text += label(10, 38, title.device);
    text += phase_bar(rows, 10, 50, 880);
    for (std::size_t i = 0; i < count; ++i) {
        const NodeRow& r = rows[i];
        const double y = kTop + kLine * static_cast<double>(i);
        const double width = kWidth * r.ms / longest;
        const double limit = std::min(width, kWidth * r.limit.seconds * 1e3 / longest);
        text += label(kLeft - 8, y + 13, r.name, "end");
        text += box(kLeft, y + 2, width, 14, color_of(r.phase), 0.35);
        text += box(kLeft, y + 2, limit, 14, color_of(r.phase));
        text += label(kLeft + width + 6, y + 13,
                      fmt::format("{:.3f} ms, {}, {:.0f} % of limit, {}", r.ms, name_of(r.limit.bound),
                                  r.percent_of_limit(), r.implementation));
    }
    text += label(10, height - 10, "full colour: the least time the device could take; pale: what it took beyond");
    return text + "</svg>\n";
}

}  // namespace fer::tool

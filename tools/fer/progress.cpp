#include "tools/fer/progress.hpp"

#include <fmt/ranges.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <vector>

#include "tools/fer/console.hpp"

namespace fer::tool {
namespace {

constexpr int kBarWidth = 20;
constexpr double kRefreshSeconds = 0.05;
constexpr double kPlainSeconds = 10;

std::string duration_text(double seconds) {
    const auto s = static_cast<long>(std::lround(seconds));
    if (s >= 3600) {
        return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    }
    return s >= 60 ? fmt::format("{}:{:02}", s / 60, s % 60) : fmt::format("{}s", s);
}

std::string bar(double done) {
    const int filled = static_cast<int>(done * kBarWidth);
    const bool color = wants_color(STDERR_FILENO);
    std::string text = color ? "\033[32m" : "";
    for (int i = 0; i < kBarWidth; ++i) {
        if (i == filled) {
            text += color ? "\033[37m" : "";
        }
        text += i < filled || color ? "━" : " ";
    }
    return text + (color ? "\033[0m" : "");
}

/// Keras sets the counter and the time in bold.
std::string bold(const std::string& text, bool rich) {
    return rich && wants_color(STDERR_FILENO) ? fmt::format("\033[1m{}\033[0m", text) : text;
}

/// "12/359 ━━━━━━━ 5s 17ms/step": what an epoch's line begins with.
std::string head_of_line(std::int64_t step, std::int64_t steps, double seconds, double step_seconds, bool rich) {
    const std::string total = std::to_string(steps);
    return fmt::format("{} {}{} {}/step", bold(fmt::format("{:>{}}/{}", step, total.size(), total), rich),
                       rich ? bar(static_cast<double>(step) / static_cast<double>(steps)) + " " : "",
                       bold(duration_text(seconds), rich), step_time_text(step_seconds));
}

/// Columns that a text takes on a terminal: no colours, one for each character.
std::size_t columns_of(const std::string& text) {
    std::size_t columns = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\033') {
            i = text.find('m', i);
        } else if ((text[i] & 0xC0) != 0x80) {
            ++columns;
        }
    }
    return columns;
}

/// Columns of the terminal; many where there is none.
std::size_t terminal_columns() {
    winsize size{};
    return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 1000;
}

/// A line that is written over must not wrap: what comes last and does not fit is left out.
std::string fitted(std::string line, const std::vector<std::string>& parts, std::size_t columns) {
    for (const std::string& part : parts) {
        if (columns_of(line) + 3 + columns_of(part) >= columns) {
            break;
        }
        line += " - " + part;
    }
    return line;
}

/// What Keras does not show.
std::vector<std::string> speed_and_memory(double images_per_s) {
    std::vector<std::string> parts{fmt::format("{:.0f} img/s", images_per_s)};
    if (const std::int64_t bytes = resident_bytes(); bytes > 0) {
        parts.push_back(memory_text(bytes));
    }
    return parts;
}

}  // namespace

ProgressStyle progress_style(const std::string& word, bool quiet) {
    if (quiet || word == "off") {
        return ProgressStyle::kOff;
    }
    if (word == "auto") {
        return is_terminal(STDERR_FILENO) ? ProgressStyle::kRich : ProgressStyle::kPlain;
    }
    FER_CHECK(word == "rich" || word == "plain", "--progress: unknown value '{}'; one of auto, rich, plain, off", word);
    return word == "rich" ? ProgressStyle::kRich : ProgressStyle::kPlain;
}

std::string metric_text(double value) {
    return std::abs(value) > 1e-3 || value == 0 ? fmt::format("{:.4f}", value) : fmt::format("{:.4e}", value);
}

std::string step_time_text(double seconds) {
    if (seconds >= 1) {
        return fmt::format("{:.0f}s", seconds);
    }
    return seconds >= 1e-3 ? fmt::format("{:.0f}ms", seconds * 1e3) : fmt::format("{:.0f}us", seconds * 1e6);
}

std::int64_t resident_bytes() {
    std::ifstream file("/proc/self/statm");
    std::int64_t size = 0, resident = 0;
    return file >> size >> resident ? resident * ::sysconf(_SC_PAGESIZE) : 0;
}

std::string memory_text(std::int64_t bytes) {
    const double mega = static_cast<double>(bytes) * 1e-6;
    return mega < 1000 ? fmt::format("{:.0f} MB", mega) : fmt::format("{:.1f} GB", mega * 1e-3);
}

void ProgressLine::epoch_begins(int epoch, int epochs, std::int64_t) {
    first_step_ = -1;
    shown_at_ = 0;
    if (style_ != ProgressStyle::kOff) {
        say(fmt::format("Epoch {}/{}\n", epoch, epochs));
    }
}

void ProgressLine::step_done(std::int64_t step, std::int64_t steps, const Metrics& so_far, double seconds) {
    first_step_ = first_step_ < 0 ? step - 1 : first_step_;
    const bool rich = style_ == ProgressStyle::kRich;
    if (style_ == ProgressStyle::kOff || seconds - shown_at_ < (rich ? kRefreshSeconds : kPlainSeconds) ||
        step == steps) {
        return;
    }
    shown_at_ = seconds;
    const double step_seconds = seconds / static_cast<double>(step - first_step_);
    std::vector<std::string> parts{"accuracy: " + metric_text(so_far.accuracy), "loss: " + metric_text(so_far.loss)};
    std::ranges::copy(speed_and_memory(static_cast<double>(batch_) / step_seconds), std::back_inserter(parts));
    const std::string text =
        fitted(head_of_line(step, steps, step_seconds * static_cast<double>(steps - step), step_seconds, rich), parts,
               rich ? terminal_columns() : std::string::npos);
    say(fmt::format("{}{}{}", rich ? "\r" : "", text, rich ? "\033[K" : "\n"));
}

void ProgressLine::epoch_done(const EpochRow& row, std::int64_t steps, double step_seconds) {
    if (style_ == ProgressStyle::kOff) {
        return;
    }
    const bool rich = style_ == ProgressStyle::kRich;
    const std::string text = fmt::format(
        "{} - accuracy: {} - loss: {} - val_accuracy: {} - val_loss: {} - learning_rate: {} - {}",
        head_of_line(steps, steps, step_seconds * static_cast<double>(steps), step_seconds, rich),
        metric_text(row.accuracy), metric_text(row.loss), metric_text(row.val_accuracy), metric_text(row.val_loss),
        metric_text(static_cast<double>(row.learning_rate)), fmt::join(speed_and_memory(row.images_per_s), " - "));
    say(fmt::format("{}{}{}\n", rich ? "\r" : "", text, rich ? "\033[K" : ""));
}

void ProgressLine::decided(const std::string& text) {
    if (style_ != ProgressStyle::kOff) {
        say(fmt::format("{}\n", text));
    }
}

}  // namespace fer::tool

#include "tools/fer/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

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

std::string counter(std::int64_t step, std::int64_t steps) {
    const std::string total = std::to_string(steps);
    return fmt::format("{:>{}}/{}", step, total.size(), total);
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
    const std::string text =
        fmt::format("{} {}{} {}/step - accuracy: {} - loss: {} - {:.0f} img/s", counter(step, steps),
                    rich ? bar(static_cast<double>(step) / static_cast<double>(steps)) + " " : "",
                    duration_text(step_seconds * static_cast<double>(steps - step)), step_time_text(step_seconds),
                    metric_text(so_far.accuracy), metric_text(so_far.loss), static_cast<double>(batch_) / step_seconds);
    say(fmt::format("{}{}{}", rich ? "\r" : "", text, rich ? "\033[K" : "\n"));
}

void ProgressLine::epoch_done(const EpochRow& row, std::int64_t steps, double step_seconds) {
    if (style_ == ProgressStyle::kOff) {
        return;
    }
    const bool rich = style_ == ProgressStyle::kRich;
    const std::string text = fmt::format(
        "{} {}{} {}/step - accuracy: {} - loss: {} - val_accuracy: {} - val_loss: {} - learning_rate: {} - {:.0f} "
        "img/s",
        counter(steps, steps), rich ? bar(1) + " " : "", duration_text(step_seconds * static_cast<double>(steps)),
        step_time_text(step_seconds), metric_text(row.accuracy), metric_text(row.loss), metric_text(row.val_accuracy),
        metric_text(row.val_loss), metric_text(static_cast<double>(row.learning_rate)), row.images_per_s);
    say(fmt::format("{}{}{}\n", rich ? "\r" : "", text, rich ? "\033[K" : ""));
}

void ProgressLine::decided(const std::string& text) {
    if (style_ != ProgressStyle::kOff) {
        say(fmt::format("{}\n", text));
    }
}

}  // namespace fer::tool

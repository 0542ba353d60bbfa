#include "engine/report/classification.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/error.hpp"

namespace fer {
namespace {

double ratio(double a, double b) { return b == 0 ? 0 : a / b; }

/// Characters, not bytes: what columns are as wide as.
std::size_t width_of(std::string_view utf8) {
    return static_cast<std::size_t>(std::ranges::count_if(utf8, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::size_t widest(const std::vector<std::string>& names, std::size_t at_least) {
    for (const std::string& name : names) {
        at_least = std::max(at_least, width_of(name));
    }
    return at_least;
}

std::string right(const std::string& text, std::size_t width) {
    const std::size_t have = width_of(text);
    return std::string(width > have ? width - have : 0, ' ').append(text);
}

}  // namespace

std::int64_t ConfusionMatrix::total() const {
    std::int64_t sum = 0;
    for (const std::int64_t c : counts) {
        sum += c;
    }
    return sum;
}

std::int64_t ConfusionMatrix::hits() const {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < classes.size(); ++i) {
        sum += at(i, i);
    }
    return sum;
}

int argmax(std::span<const float> probabilities) {
    return static_cast<int>(std::ranges::max_element(probabilities) - probabilities.begin());
}

ConfusionMatrix confusion_of(std::span<const float> probabilities, std::span<const std::int32_t> labels,
                             std::vector<std::string> classes) {
    ConfusionMatrix matrix(std::move(classes));
    const std::size_t width = matrix.classes.size();
    FER_CHECK(probabilities.size() == labels.size() * width, "{} probabilities for {} images", probabilities.size(),
              labels.size());
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const auto predicted = static_cast<std::size_t>(argmax(probabilities.subspan(i * width, width)));
        ++matrix.at(static_cast<std::size_t>(labels[i]), predicted);
    }
    return matrix;
}

Scores scores_of(const ConfusionMatrix& matrix) {
    Scores scores;
    const std::size_t n = matrix.classes.size();
    std::int64_t present = 0;
    for (std::size_t c = 0; c < n; ++c) {
        std::int64_t support = 0;
        std::int64_t predicted = 0;
        for (std::size_t k = 0; k < n; ++k) {
            support += matrix.at(c, k);
            predicted += matrix.at(k, c);
        }
        const auto hits = static_cast<double>(matrix.at(c, c));
        ClassScore s{ratio(hits, static_cast<double>(predicted)), ratio(hits, static_cast<double>(support)), 0,
                     support};
        // Not from precision and recall: those are rounded already, and 0.625 would print as 0.63.
        s.f1 = ratio(2 * hits, static_cast<double>(support + predicted));
        scores.per_class.push_back(s);
        scores.balanced_accuracy += s.recall;
        present += support > 0 ? 1 : 0;
    }
    const auto total = static_cast<double>(matrix.total());
    for (const ClassScore& s : scores.per_class) {
        const double equal = 1.0 / static_cast<double>(n);
        const double share = ratio(static_cast<double>(s.support), total);
        scores.macro.precision += s.precision * equal;
        scores.macro.recall += s.recall * equal;
        scores.macro.f1 += s.f1 * equal;
        scores.weighted.precision += s.precision * share;
        scores.weighted.recall += s.recall * share;
        scores.weighted.f1 += s.f1 * share;
    }
    scores.macro.support = scores.weighted.support = matrix.total();
    scores.accuracy = ratio(static_cast<double>(matrix.hits()), total);
    scores.balanced_accuracy = ratio(scores.balanced_accuracy, static_cast<double>(present));
    return scores;
}

std::string classification_report(const ConfusionMatrix& matrix) {
    const Scores scores = scores_of(matrix);
    const std::size_t width = widest(matrix.classes, std::string_view("weighted avg").size());
    std::string text =
        fmt::format("{:>{}}  {:>9} {:>9} {:>9} {:>9}\n\n", "", width, "precision", "recall", "f1-score", "support");
    const auto row = [&](const std::string& name, const ClassScore& s) {
        text += fmt::format("{}  {:>9.2f} {:>9.2f} {:>9.2f} {:>9}\n", right(name, width), s.precision, s.recall, s.f1,
                            s.support);
    };
    for (std::size_t c = 0; c < matrix.classes.size(); ++c) {
        row(matrix.classes[c], scores.per_class[c]);
    }
    text += fmt::format("\n{:>{}}  {:>9} {:>9} {:>9.2f} {:>9}\n", "accuracy", width, "", "", scores.accuracy,
                        matrix.total());
    row("macro avg", scores.macro);
    row("weighted avg", scores.weighted);
    return text;
}

std::string classification_json(const ConfusionMatrix& matrix) {
    using Json = nlohmann::ordered_json;
    const Scores scores = scores_of(matrix);
    const auto row = [](const ClassScore& s) -> Json {
        return {{"precision", s.precision}, {"recall", s.recall}, {"f1-score", s.f1}, {"support", s.support}};
    };
    Json json;
    for (std::size_t c = 0; c < matrix.classes.size(); ++c) {
        json[matrix.classes[c]] = row(scores.per_class[c]);
    }
    json["accuracy"] = scores.accuracy;
    json["macro avg"] = row(scores.macro);
    json["weighted avg"] = row(scores.weighted);
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string confusion_table(const ConfusionMatrix& matrix) {
    const std::size_t width = widest(matrix.classes, 6);
    const std::size_t first = std::max<std::size_t>(width, 14);
    std::string text = right("true\\predicted", first).append(" ");
    for (const std::string& name : matrix.classes) {
        text += fmt::format(" {}", right(name, width));
    }
    text += "\n";
    for (std::size_t t = 0; t < matrix.classes.size(); ++t) {
        text += right(matrix.classes[t], first).append(" ");
        for (std::size_t p = 0; p < matrix.classes.size(); ++p) {
            text += fmt::format(" {:>{}}", matrix.at(t, p), width);
        }
        text += "\n";
    }
    return text;
}

std::string csv_field(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) {
        return text;
    }
    std::string quoted = "\"";
    for (const char c : text) {
        quoted += c == '"' ? "\"\"" : std::string(1, c);
    }
    quoted += '"';
    return quoted;
}

std::string confusion_csv(const ConfusionMatrix& matrix) {
    std::string text = "true";
    for (const std::string& name : matrix.classes) {
        text += fmt::format(",{}", csv_field(name));
    }
    text += "\n";
    for (std::size_t t = 0; t < matrix.classes.size(); ++t) {
        text += csv_field(matrix.classes[t]);
        for (std::size_t p = 0; p < matrix.classes.size(); ++p) {
            text += fmt::format(",{}", matrix.at(t, p));
        }
        text += "\n";
    }
    return text;
}

Interval wilson(std::int64_t hits, std::int64_t total) {
    if (total == 0) {
        return {};
    }
    constexpr double kZ = 1.959963984540054;  // 97.5 % quantile of the normal distribution
    const auto n = static_cast<double>(total);
    const double p = static_cast<double>(hits) / n;
    const double scale = 1.0 / (1.0 + kZ * kZ / n);
    const double centre = (p + kZ * kZ / (2 * n)) * scale;
    const double half = kZ * std::sqrt(p * (1 - p) / n + kZ * kZ / (4 * n * n)) * scale;
    // At the ends the closed form is exact; the difference of two rounded numbers is not.
    return {hits == 0 ? 0.0 : std::max(0.0, centre - half), hits == total ? 1.0 : std::min(1.0, centre + half)};
}

std::vector<ConfusedPair> confused_pairs(const ConfusionMatrix& matrix, int count) {
    std::vector<ConfusedPair> pairs;
    for (std::size_t t = 0; t < matrix.classes.size(); ++t) {
        for (std::size_t p = 0; p < matrix.classes.size(); ++p) {
            if (t != p && matrix.at(t, p) > 0) {
                pairs.push_back({static_cast<int>(t), static_cast<int>(p), matrix.at(t, p)});
            }
        }
    }
    std::ranges::stable_sort(pairs, std::ranges::greater{}, &ConfusedPair::times);
    pairs.resize(std::min(pairs.size(), static_cast<std::size_t>(count)));
    return pairs;
}

std::string most_confused(const ConfusionMatrix& matrix, int count) {
    std::vector<std::string> texts;
    for (const ConfusedPair& pair : confused_pairs(matrix, count)) {
        texts.push_back(fmt::format("{}->{} {}", matrix.classes[static_cast<std::size_t>(pair.truth)],
                                    matrix.classes[static_cast<std::size_t>(pair.predicted)], pair.times));
    }
    return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace fer

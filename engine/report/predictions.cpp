#include "engine/report/predictions.hpp"

#include <algorithm>
#include <charconv>

#include "engine/core/error.hpp"

namespace fer {
namespace {

/// Rows of fields, as RFC 4180 has them: in quotes a field may hold commas, line ends and doubled quotes.
class CsvReader {
public:
    explicit CsvReader(std::string_view text) : text_(text) {}

    /// False at the end of the text.
    bool next(std::vector<std::string>& fields) {
        fields.clear();
        row_line_ = line_;
        if (at_ >= text_.size()) {
            return false;
        }
        do {
            fields.push_back(field());
        } while (at_ < text_.size() && text_[at_++] == ',');
        ++line_;
        return true;
    }
    /// Where the last row begins, from 1.
    int line() const { return row_line_; }

private:
    /// Up to, not including, the comma or line feed behind it.
    std::string field() {
        std::string value;
        bool quoted = at_ < text_.size() && text_[at_] == '"';
        at_ += quoted ? 1 : 0;
        for (; at_ < text_.size(); ++at_) {
            const char c = text_[at_];
            if (quoted && c == '"') {
                if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
                    ++at_;
                } else {
                    quoted = false;
                    continue;
                }
            } else if (!quoted && (c == ',' || c == '\n')) {
                break;
            } else if (!quoted && c == '\r') {
                continue;
            }
            line_ += c == '\n' ? 1 : 0;
            value += c;
        }
        return value;
    }

    std::string_view text_;
    std::size_t at_ = 0;
    int line_ = 1, row_line_ = 1;
};

DataError broken(const std::string& path, int line, const std::string& what) {
    return DataError(fmt::format("{}:{}: {}", path, line, what))
        .because("it is not as fer evaluate wrote it")
        .try_this("fer evaluate writes it again");
}

float probability(const std::string& text, const std::string& path, int line) {
    float p = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), p);
    if (error != std::errc() || end != text.data() + text.size() || !(p >= 0 && p <= 1)) {
        throw broken(path, line, fmt::format("'{}' is not a probability", text));
    }
    return p;
}

constexpr std::size_t kFirst = 3;  // columns before the probabilities

std::vector<std::string> classes_of(const std::vector<std::string>& header, const std::string& path) {
    std::vector<std::string> classes;
    for (std::size_t i = kFirst; i < header.size() && header[i].starts_with("p_"); ++i) {
        classes.push_back(header[i].substr(2));
    }
    if (header.size() < kFirst + 1 || classes.size() + kFirst != header.size() || header[0] != "file" ||
        header[1] != "true" || header[2] != "pred") {
        throw broken(path, 1, "the columns are not file,true,pred,p_<class>...");
    }
    return classes;
}

}  // namespace

std::string predictions_csv(const Predictions& predictions) {
    std::string text = "file,true,pred";
    for (const std::string& name : predictions.classes) {
        text += fmt::format(",{}", csv_field("p_" + name));
    }
    text += "\n";
    for (std::int64_t i = 0; i < predictions.size(); ++i) {
        const auto at = static_cast<std::size_t>(i);
        text += fmt::format("{},{},{}", csv_field(predictions.files[at]),
                            csv_field(predictions.classes[static_cast<std::size_t>(predictions.truth[at])]),
                            csv_field(predictions.classes[static_cast<std::size_t>(predictions.predicted(i))]));
        for (const float p : predictions.row(i)) {
            text += fmt::format(",{}", p);
        }
        text += "\n";
    }
    return text;
}

Predictions parse_predictions(std::string_view csv, const std::string& path) {
    CsvReader reader(csv);
    std::vector<std::string> fields;
    reader.next(fields);
    Predictions result;
    result.classes = classes_of(fields, path);
    const auto class_of = [&](const std::string& name) {
        const auto at = std::ranges::find(result.classes, name);
        if (at == result.classes.end()) {
            throw broken(path, reader.line(), fmt::format("'{}' is none of its classes", name));
        }
        return static_cast<std::int32_t>(at - result.classes.begin());
    };
    while (reader.next(fields)) {
        if (fields.size() != kFirst + result.classes.size()) {
            throw broken(path, reader.line(),
                         fmt::format("{} columns, {} expected", fields.size(), kFirst + result.classes.size()));
        }
        result.files.push_back(fields[0]);
        result.truth.push_back(class_of(fields[1]));
        for (std::size_t c = 0; c < result.classes.size(); ++c) {
            result.probabilities.push_back(probability(fields[kFirst + c], path, reader.line()));
        }
        if (class_of(fields[2]) != result.predicted(result.size() - 1)) {
            throw broken(path, reader.line(), fmt::format("'{}' is not its most probable class", fields[2]));
        }
    }
    return result;
}

double top_accuracy(const Predictions& predictions, int k) {
    std::int64_t hits = 0;
    for (std::int64_t i = 0; i < predictions.size(); ++i) {
        const std::span<const float> row = predictions.row(i);
        const auto truth = static_cast<std::size_t>(predictions.truth[static_cast<std::size_t>(i)]);
        int better = 0;
        for (std::size_t c = 0; c < row.size(); ++c) {
            better += row[c] > row[truth] || (row[c] == row[truth] && c < truth) ? 1 : 0;
        }
        hits += better < k ? 1 : 0;
    }
    return predictions.size() == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(predictions.size());
}

}  // namespace fer
